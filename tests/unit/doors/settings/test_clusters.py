"""The user's settings for clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.doors.settings import config_yaml
from devenv.doors.settings.clusters import ClusterSettings, parsed
from devenv.errors import UsageError


def test_words_are_those_of_kubernetes() -> None:
    found = parsed({
        "registry": "registry.example:5000/team", "storage_class": "fast", "access_mode": "ReadWriteMany", "cpu": 2,
        "gpus": 0, "uid": "cluster", "node_selector": {"example.com/gpu": "h100"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    })  # fmt: skip
    assert (found.cpu, found.gpus, found.uid) == ("2", 0, None)
    assert found.node_selector == (("example.com/gpu", "h100"),)
    assert dict(found.tolerations[0]) == {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert parsed({}) == ClusterSettings()


@pytest.mark.parametrize(
    "wrong",
    [
        [], {"namespace": "other"}, {"context": "other"}, {"cpu": "lots"}, {"cpu": True}, {"access_mode": "ReadWrite"},
        {"gpus": -1}, {"gpus": True}, {"uid": 0}, {"uid": "root"}, {"node_selector": ["a"]},
        {"node_selector": {"a b": "c"}}, {"tolerations": [{}]}, {"tolerations": [{"key": "a", "image": "b"}]},
        {"tolerations": {"key": "a"}}, {"storage_class": "-x"}, {"registry": "https://registry.example"},
    ],
)  # fmt: skip
def test_mistakes_are_named(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parsed(wrong)


def test_a_mistake_in_the_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("kubernetes: {gpus: many}\n")
    with pytest.raises(UsageError, match="gpus") as caught:
        config_yaml.read({}, tmp_path, path)
    assert caught.value.where == str(path)

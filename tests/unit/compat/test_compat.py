"""The compatibility matrix and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.cli import run
from devenv.compat.matrix import Matrix, read
from devenv.compat.verdict import clashes, cuda_of, pinned
from devenv.compat.versions import numbers
from devenv.errors import PresetError, UsageError
from devenv.preset.load import load
from devenv.resolve.ensure import fits
from tests.unit import examples

MATRIX = read()
# The facts that the rows were made from: vLLM, its torch, that torch's CUDA, a Python that it has and one that it lacks.
PAIRS = [
    ("0.8.5", "2.6.0", "12.4", "3.12", "3.13"), ("0.9.2", "2.7.0", "12.6", "3.9", "3.13"),
    ("0.10.1.1", "2.7.1", "12.6", "3.12", "3.13"), ("0.10.2", "2.8.0", "12.8", "3.13", "3.14"),
    ("0.11.0", "2.8.0", "12.8", "3.9", "3.14"), ("0.11.1", "2.9.0", "12.8", "3.10", "3.9"),
    ("0.13.0", "2.9.0", "12.8", "3.13", "3.14"), ("0.16.0", "2.9.1", "12.8", "3.10", "3.14"),
    ("0.19.1", "2.10.0", "12.8", "3.13", "3.14"), ("0.20.2", "2.11.0", "13.0", "3.14", "3.9"),
    ("0.26.0", "2.11.0", "13.0", "3.10", "3.15"), ("0.28.0", "2.13.0", "13.0", "3.10", "3.15"),
    ("0.31.0", "2.13.0", "13.0", "3.10", "3.15"), ("0.32.0", "2.13.0", "13.0", "3.11", "3.10"),
    ("0.33.0", "2.14.0", "13.0", "3.14", "3.10"),
]  # fmt: skip


@pytest.mark.parametrize(("vllm", "torch", "cuda", "good", "bad"), PAIRS, ids=[one[0] for one in PAIRS])
def test_each_vllm_goes_with_its_own_torch_cuda_and_python(
    vllm: str, torch: str, cuda: str, good: str, bad: str
) -> None:
    def said(**keys: Any) -> list[str]:
        return [one.key for one in clashes(examples.preset(**{"vllm": vllm, "python": good, **keys}), MATRIX)]

    assert said() == []
    assert said(torch=torch, cuda=cuda) == []
    assert said(python=bad) == ["python"]
    assert "torch" in said(torch="2.5.1")
    assert said(cuda="11.8") == ["cuda"]
    assert cuda_of(examples.preset(vllm=vllm), MATRIX) == cuda


@pytest.mark.parametrize(
    ("keys", "key", "message", "hint"),
    [
        ({"vllm": "0.11.1", "torch": "2.8.0"}, "torch", "vllm 0.11.1 needs torch 2.9.0, not 2.8.0",
         "nearest that works: torch: '2.9.0', or vllm 0.10.2 to before 0.11.1, which goes with torch 2.8.0"),
        ({"vllm": "0.20.0", "cuda": "12.8"}, "cuda", "vllm 0.20.0 is built for CUDA 13.0, not 12.8",
         "nearest that works: cuda: '13.0', or vllm 0.17 to before 0.20, which is built for CUDA 12.8"),
        ({"torch": "2.11.0", "cuda": "12.4"}, "cuda", "torch 2.11.0 is not built for CUDA 12.4, but for 12.6, 12.8, 13.0",
         "nearest that works: cuda: '12.6', or torch 2.6.*, which is built for CUDA 12.4"),
        ({"torch": "2.10.0+cpu", "cuda": "12.8"}, "torch", "torch 2.10.0+cpu is built for the CPU, not for CUDA 12.8",
         "nearest that works: torch: '2.10.0', or leave 'cuda' out"),
        ({"torch": "2.10.0+cu126", "cuda": "12.8"}, "torch", "torch 2.10.0+cu126 is built for CUDA 12.6, not for CUDA 12.8",
         "nearest that works: torch: '2.10.0', or leave 'cuda' out"),
        ({"torch": "2.15.0", "python": "3.10"}, "python", "torch 2.15.0 has wheels for Python 3.11 to 3.15, not 3.10",
         "nearest that works: python: '3.11'"),
        ({"pip": ("torch==2.6.0",), "python": "3.14"}, "python", "torch 2.6.0 has wheels for Python 3.9 to 3.13, not 3.14",
         "nearest that works: python: '3.13'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_with_the_nearest_that_does(
    keys: dict[str, Any], key: str, message: str, hint: str
) -> None:
    (found,) = clashes(examples.preset(**{"python": "3.12", **keys}), MATRIX)
    assert (found.key, found.message, found.hint, found.unknown) == (key, message, hint, False)
    assert found.source


@pytest.mark.parametrize(
    ("keys", "cuda"),
    [
        ({"torch": "2.13.0"}, "13.0"),
        ({"torch": "2.13.0+cpu"}, None),
        ({"pip": ("torch==2.13.0+cpu",)}, None),
        ({"torch": "2.10.0+cu126"}, "12.6"),
        ({"torch": "2.10.0+cu126", "cuda": "12.6"}, "12.6"),
    ],
)
def test_a_build_of_pytorch_tells_its_cuda(keys: dict[str, Any], cuda: str | None) -> None:
    wish = examples.preset(**keys)
    assert cuda_of(wish, MATRIX) == cuda
    assert clashes(wish, MATRIX) == ()


@pytest.mark.parametrize("keys", [{"vllm": "7.0"}, {"torch": "9.1.0"}, {"cuda": "14.0"}, {"vllm": "0.34.0"}])
def test_what_is_unknown_only_warns(keys: dict[str, Any]) -> None:
    (found,) = clashes(examples.preset(**keys), MATRIX)
    assert found.unknown


def test_a_cuda_beside_a_row_that_is_not_complete_only_warns() -> None:
    (found,) = clashes(examples.preset(torch="2.14.0", cuda="12.6"), MATRIX)
    assert found.unknown


def test_a_preset_without_torch_needs_no_matrix(tmp_path: Path) -> None:
    (tmp_path / "compatibility.yaml").write_text("nonsense: [")
    assert fits(examples.loaded(), tmp_path) == ()
    with pytest.raises(UsageError, match="cannot read"):
        fits(examples.loaded(torch="2.9.0"), tmp_path)


def test_a_users_rows_come_first(tmp_path: Path) -> None:
    (tmp_path / "compatibility.yaml").write_text(
        'vllm: [{versions: "==7.*", torch: "9.1.0", cuda: "14.0", python: ">=3.13", source: me}]\n'
        'cuda: [{versions: "==14.*", driver: "700", capability: ["8.0", "15.0"], source: me}]\n'
    )
    matrix = read(tmp_path)
    assert cuda_of(examples.preset(vllm="7.0"), matrix) == "14.0"
    assert [one.key for one in clashes(examples.preset(vllm="7.0", python="3.12"), matrix)] == ["python"]
    assert matrix.for_vllm("0.11.1") == MATRIX.for_vllm("0.11.1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vllm: [{versions: newest, torch: '1', cuda: '1.0', python: '>=3', source: me}]", "vllm.0.versions"),
        ("vllm: [{versions: '==1.*', torch: '1', cuda: '1.0', python: '>=3'}]", "vllm.0.source"),
        ("cuda: [{versions: '==1.*', driver: '>=5', capability: ['1.0', '2.0'], source: me}]", "cuda.0.driver"),
        ("pytorch: []", "pytorch"),
        ("- 1", "matrix"),
        ("vllm: [", "cannot read"),
    ],
)
def test_a_users_file_with_a_mistake_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "compatibility.yaml").write_text(text)
    with pytest.raises(UsageError, match=words) as raised:
        read(tmp_path)
    assert raised.value.where == str(tmp_path / "compatibility.yaml")


def test_every_row_has_a_source_and_the_cuda_of_every_row_a_driver() -> None:
    for row in (*MATRIX.torch, *MATRIX.vllm):
        assert row.source
        assert MATRIX.for_cuda(row.cuda) is not None
    for vllm in MATRIX.vllm:
        torch = MATRIX.for_torch(vllm.torch)
        assert torch is not None
        assert torch.cuda == vllm.cuda


def test_numbers_compare_as_numbers() -> None:
    assert numbers("525.60.13") < numbers("525.147.05") < numbers("580")
    assert numbers("9.0") < numbers("10.0")


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text('name: mine\nbase: {bootstrap: debian/bookworm}\npython: "3.12"\nvllm: "0.11.1"\ntorch: "2.8.0"\n')
    return path


def test_validate_refuses_at_the_line(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(preset)]) == 3
    err = capsys.readouterr().err
    assert "mine.yaml:5:8: vllm 0.11.1 needs torch 2.9.0, not 2.8.0" in err
    assert "hint: nearest that works: torch: '2.9.0'" in err


def test_lock_refuses_before_it_asks_anything(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lock", str(preset)]) == 3
    assert "needs torch 2.9.0" in capsys.readouterr().err


def test_several_clashes_come_at_once(preset: Path) -> None:
    preset.write_text(preset.read_text().replace("3.12", "3.14"))
    with pytest.raises(PresetError) as raised:
        fits(load(preset), preset.parent)
    places = [str(one.where).rpartition("mine.yaml:")[2] for one in raised.value.problems]
    assert places == ["3:9", "3:9", "5:8"]


def test_an_unknown_version_is_valid_with_a_warning(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset.write_text(preset.read_text().replace("0.11.1", "7.0.0").replace("2.8.0", "2.9.0"))
    assert run(["validate", str(preset)]) == 0
    assert "vllm 7.0.0 is not in the compatibility matrix" in capsys.readouterr().err


def test_an_empty_matrix_knows_nothing() -> None:
    assert Matrix().for_cuda("12.8") is None


def test_a_pin_counts_where_its_marker_holds() -> None:
    both = ("torch==2.6.0; python_version < '3.11'", "torch==2.9.0; python_version >= '3.11'")
    assert pinned(examples.loaded(python="3.11", pip=both).preset, "torch") == "2.9.0"
    assert pinned(examples.loaded(python="3.10", pip=both).preset, "torch") == "2.6.0"

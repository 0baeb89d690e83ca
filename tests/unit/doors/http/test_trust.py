from __future__ import annotations

from pathlib import Path

import pytest

from devenv.doors.http.trust import trusting
from devenv.errors import FetchError


@pytest.mark.parametrize(("content", "why"), [(None, "the file does not exist"), ("a key", "no certificate in PEM")])
def test_a_bundle_that_cannot_be_used_is_named_with_the_reason(content: str | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FetchError, match=f"{file}: .*{why}") as caught:
        trusting([file])
    assert caught.value.hint == "find the setting that names it: devenv settings"

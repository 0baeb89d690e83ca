from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.doors.http.web import Web
from devenv.doors.process import Outcome, ProcessError
from devenv.doors.settings.pip_settings import PipSettings
from devenv.errors import LockError
from devenv.fetch.store import Store
from devenv.lock.model import Wheel
from devenv.preset.own_wheel import own_wheel
from devenv.resolve import wheels
from tests.unit.handmade import settings, sha, wheel


class Uv:
    """A stand-in for uv: records its calls, writes a prepared answer."""

    def __init__(self, text: str = "", error: str = "") -> None:
        self.text = text
        self.error = error
        self.command: tuple[str, ...] = ()
        self.stdin = ""
        self.env: Mapping[str, str] = {}
        self.before: str | None = None

    def __call__(self, command: tuple[str, ...], *, stdin: str, cwd: Path, env: Mapping[str, str], **_: Any) -> Outcome:
        self.command, self.stdin, self.env = command, stdin, env
        output = cwd / "pylock.toml"
        self.before = output.read_text() if output.exists() else None
        if self.error:
            raise ProcessError(Outcome(command=command, code=1, out="", err=self.error))
        output.write_text(self.text)
        return Outcome(command=command, code=0, out="", err="")


OWN = PipSettings(uv_env=(("UV_DEFAULT_INDEX", "https://i/simple"),))


def resolve(
    uv: Uv,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...] = ("a",),
    pip: PipSettings = OWN,
    **more: Any,
) -> Any:
    monkeypatch.setattr(wheels, "run", uv)
    mine = dataclasses.replace(settings(root), pip=pip)
    return wheels.resolve_wheels(
        names, python="3.11", glibc="2.36", settings=mine, store=Store(root / "store"), web=Web(mine), **more
    ).wheels


def entry(name: str, version: str, *files: str, size: int | None = 7, hashed: bool = True) -> str:
    parts = []
    for file in files:
        hashes = f'hashes = {{ sha256 = "{sha(file)}" }}' if hashed else "hashes = {}"
        parts.append(f'{{ url = "https://host/x/{file}", {f"size = {size}, " if size else ""}{hashes} }}')
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = [{", ".join(parts)}]\n'


def test_uv_is_asked_for_the_images_platform_through_the_users_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = Uv(entry("b", "2", "b-2-py3-none-any.whl") + entry("a", "1", "a-1-py3-none-any.whl"))
    found = resolve(uv, tmp_path, monkeypatch, ("a>=1", "b"))
    assert [one.name for one in found] == ["a", "b"]
    assert found[1] == Wheel(
        name="b", version="2", file="b-2-py3-none-any.whl", size=7, sha256=sha("b-2-py3-none-any.whl")
    )
    assert uv.stdin == "a>=1\nb\n"
    assert uv.env == {
        "UV_DEFAULT_INDEX": "https://i/simple", "UV_PYTHON_DOWNLOADS": "never", "UV_CONSTRAINT": None,
        "UV_WORKING_DIR": None, "UV_PROJECT": None,
    }  # fmt: skip
    assert "--python" in uv.command
    joined = " ".join(uv.command)
    assert "--python-version 3.11 --python-platform x86_64-manylinux_2_36 --only-binary :all:" in joined
    assert uv.before is None


def test_the_users_constraints_count_beside_those_of_cuda_but_not_for_devenvs_own_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limits(uv: Uv) -> list[str]:
        return [uv.command[at + 1] for at, word in enumerate(uv.command) if word == "--constraint"]

    limited = PipSettings(constraints=("/u/limits.txt", "https://u:pw@host/limits.txt"))
    uv = Uv(entry("torch", "2+cpu", "torch-2+cpu-cp311-cp311-linux_x86_64.whl"), "")
    with pytest.raises(LockError) as told:
        resolve(uv, tmp_path, monkeypatch, ("torch",), cuda="12.8", pip=limited)
    assert limits(uv)[:2] == ["/u/limits.txt", "https://u:pw@host/limits.txt"]
    assert len(limits(uv)) == 3
    assert "/u/limits.txt" in (told.value.hint or "")
    assert "pw" not in (told.value.hint or "")
    tools = Uv("")
    resolve(tools, tmp_path, monkeypatch, dependencies=False, pip=limited)
    assert limits(tools) == []


def test_versions_to_keep_are_given_as_preferences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv("")
    resolve(uv, tmp_path, monkeypatch, keep=[wheel("b", "7"), wheel("c", "8")])
    assert 'name = "b"\nversion = "7"' in (uv.before or "")
    assert 'name = "c"\nversion = "8"' in (uv.before or "")


def test_nothing_to_resolve_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv()
    assert resolve(uv, tmp_path, monkeypatch, ()) == ()
    assert uv.command == ()


def test_the_best_wheel_for_the_image_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = (
        "a-1-py3-none-any.whl",
        "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",
        "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_28_aarch64.whl",
        "a-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "a-1-cp39-abi3-manylinux_2_28_x86_64.whl",
    )
    found = resolve(Uv(entry("a", "1", *files)), tmp_path, monkeypatch)
    assert found[0].file == "a-1-cp311-cp311-manylinux_2_28_x86_64.whl"
    found = resolve(Uv(entry("a", "1", *files[:1], *files[4:])), tmp_path, monkeypatch)
    assert found[0].file == "a-1-cp39-abi3-manylinux_2_28_x86_64.whl"


def test_no_wheel_for_the_image_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LockError, match=r"a 1 has no wheel for Python 3\.11"):
        resolve(Uv(entry("a", "1", "a-1-cp312-cp312-win_amd64.whl")), tmp_path, monkeypatch)


def test_uvs_words_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LockError) as caught:
        resolve(Uv(error="error: there is no version of a==9"), tmp_path, monkeypatch)
    assert "no version of a==9" in (caught.value.detail or "")


@pytest.mark.parametrize(
    ("hint", "kept", "remedy"),
    [
        ("Pre-releases are available for `a` (e.g., 1.0b1), but weren't enabled (try: `--prerelease=allow`)",
         "available for `a` (e.g., 1.0b1)", "NAME==1.0b1"),
        ("Wheels are required for `a` because building is disabled (i.e., with `--no-build`)", "Wheels are required for `a`", "no index of yours has a wheel or a source that fits"),
        ("`a` was found on https://i/simple.\nUse `--index-strategy unsafe-best-match` to consider all versions.", "",
         "UV_INDEX_STRATEGY"),
        ("You require CPython 3.11, but we only found wheels for `a` with the tag `cp27m`", "tag `cp27m`", None),
    ],
)  # fmt: skip
def test_uvs_hints_name_no_option_that_devenv_does_not_have(
    hint: str, kept: str, remedy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LockError) as caught:
        resolve(Uv(error=f"error: no version of a==9\n\nhint: {hint}\n"), tmp_path, monkeypatch)
    printed = caught.value.detail or ""
    assert "no version of a==9" in printed
    assert kept in printed
    assert "--" not in printed
    assert (remedy or "see 'pip:'") in (caught.value.hint or "")


def test_a_local_wheel_without_size_or_hash_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a-1+cpu-py3-none-any.whl"
    file.write_bytes(b"wheel")
    entries = f'wheels = [{{ url = "file://{tmp_path}/a-1%2Bcpu-py3-none-any.whl", hashes = {{}} }}]'
    text = f'[[packages]]\nname = "a"\nversion = "1+cpu"\n{entries}\n'
    found = resolve(Uv(text), tmp_path, monkeypatch)
    assert found[0].file == file.name
    assert (found[0].size, found[0].sha256) == (5, sha("wheel"))


@pytest.mark.parametrize(
    ("arch", "glibc", "name"),
    [
        ("amd64", "2.36", "x86_64-manylinux_2_36"),
        ("amd64", "2.41", "x86_64-manylinux_2_40"),
        ("arm64", "2.29", "aarch64-manylinux_2_28"),
        ("amd64", "2.12", "x86_64-manylinux_2_17"),
    ],
)
def test_the_platform_is_one_that_uv_knows(arch: str, glibc: str, name: str) -> None:
    assert wheels.platform(arch, glibc) == name


class Index:
    """Stands in for uv with an index that has these versions of torch, the newest first; constraints hold."""

    def __init__(self, *versions: str) -> None:
        self.versions = versions
        self.asked = 0

    def __call__(self, command: tuple[str, ...], *, cwd: Path, **_: Any) -> Outcome:
        self.asked += 1
        given = "--constraint" in command
        refused = (cwd / "constraints.txt").read_text().split() if given else []
        left = [one for one in self.versions if f"torch!={one}" not in refused]
        if not left:
            raise ProcessError(Outcome(command=command, code=1, out="", err="no version of torch"))
        text = entry("torch", left[0], f"torch-{left[0]}-py3-none-any.whl")
        (cwd / "pylock.toml").write_text(text)
        return Outcome(command=command, code=0, out="", err="")


@pytest.mark.parametrize(
    ("cuda", "versions", "taken"),
    [
        ("12.8", ("2.10.0+cpu", "2.10.0"), "2.10.0"),
        ("12.8", ("2.10.0+cu130", "2.10.0+cu128", "2.10.0+cpu", "2.10.0"), "2.10.0+cu128"),
        ("13.0", ("2.10.0+xpu", "2.10.0+rocm6.4", "2.10.0+cu130", "2.10.0"), "2.10.0+cu130"),
        ("any", ("2.10.0+cpu", "2.10.0+cu126"), "2.10.0+cu126"),
        ("12.8", ("2.7.4+cu12torch2.6", "2.7.4"), "2.7.4+cu12torch2.6"),
        ("", ("2.10.0+cpu", "2.10.0"), "2.10.0+cpu"),
    ],
)
def test_with_cuda_no_build_for_the_cpu_or_another_cuda_is_taken(
    cuda: str, versions: tuple[str, ...], taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolve(Index(*versions), tmp_path, monkeypatch, ("torch==2.10.0",), cuda=cuda)  # type: ignore[arg-type]
    assert [one.version for one in found] == [taken]


def test_only_builds_for_the_cpu_are_an_error_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LockError) as caught:
        resolve(Index("2.10.0+cpu"), tmp_path, monkeypatch, ("torch==2.10.0",), cuda="12.8")  # type: ignore[arg-type]
    assert "torch 2.10.0+cpu" in (caught.value.hint or "")
    assert "PIP_EXTRA_INDEX_URL" in (caught.value.hint or "")


def test_a_resolver_that_insists_is_not_asked_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = Uv(entry("torch", "2.10.0+cpu", "torch-2.10.0+cpu-py3-none-any.whl"))
    with pytest.raises(LockError, match="cannot be resolved"):
        resolve(stubborn, tmp_path, monkeypatch, ("torch==2.10.0",), cuda="12.8")


@pytest.mark.parametrize(
    ("pin", "words"), [("2.13.0+cpu", "build for the CPU"), ("2.13.0+cu126", "build for CUDA 12.6")]
)
def test_a_build_that_no_index_of_the_user_has_says_what_helps(
    pin: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = Uv(error=f"Because there is no version of torch=={pin} and you require torch=={pin}, …")
    with pytest.raises(LockError) as caught:
        resolve(uv, tmp_path, monkeypatch, ("rich", f"torch=={pin}"))
    assert words in (caught.value.hint or "")
    assert "extra-index-url" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "error",
    [
        "Because torch==2.13.0+cpu has no wheels with a matching Python\n   version tag (e.g., `cp38`) and you …",
        "Because the requested Python version (3.8.9) does not satisfy Python>=3.10 and torch==2.13.0+cpu depends …",
    ],
)
def test_a_build_that_has_no_wheel_for_the_python_says_so(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LockError) as caught:
        resolve(Uv(error=error), tmp_path, monkeypatch, ("rich", "torch==2.13.0+cpu"))
    hint = caught.value.hint or ""
    assert "torch==2.13.0+cpu has no wheel for this Python, only for Python >=3.10,<3.15: change 'python:'" in hint
    assert "no index of yours" not in hint


def test_a_wheel_by_address_is_brought_and_checked_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "acme-1.2-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("acme-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n")
        archive.writestr("acme-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    asked = []

    def bring(store: Store, web: Web, wanted: Any, places: Any) -> None:
        asked.extend((wanted.name, wanted.digests, [place.url for place in places()]))
        store.adopt(file, digest)

    monkeypatch.setattr(wheels, "bring", bring)
    wish = own_wheel(f"acme @ https://files.example.org/x/{file.name}#sha256={digest}")
    assert wish is not None
    found = wheels.own_file(wish, Store(tmp_path / "store"), Web(settings(tmp_path)))
    assert (found.name, found.version, found.file, found.sha256) == ("acme", "1.2", file.name, digest)
    assert asked == [file.name, (("sha256", digest),), [f"https://files.example.org/x/{file.name}"]]


def test_what_has_no_wheel_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv(
        error="error: x\n\nhint: Wheels are required for `docopt` because …\n\nhint: Wheels are required for `odfpy` because …"
    )
    with pytest.raises(wheels.NoWheelError) as told:
        resolve(uv, tmp_path, monkeypatch)
    assert told.value.names == ("docopt", "odfpy")


def test_offered_sources_are_chosen_without_a_wheel_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv(entry("b", "2", "b-2-py3-none-any.whl") + entry("a", "1", "a-1-py3-none-any.whl"))
    monkeypatch.setattr(wheels, "run", uv)
    mine = dataclasses.replace(settings(tmp_path), pip=PipSettings(find_links=("/mine",)))
    found = wheels.resolve_wheels(
        ("a",), python="3.11", glibc="2.36", settings=mine, store=Store(tmp_path / "store"), web=Web(mine),
        offers=wheels.Offers(folder=tmp_path / "offers", versions={"a": frozenset({"1"})}),
    )  # fmt: skip
    assert found.sources == (("a", "1"),)
    assert [one.name for one in found.wheels] == ["b"]
    joined = " ".join(uv.command)
    assert f"--find-links /mine --find-links {tmp_path / 'offers'}" in joined
    assert "--only-binary :all:" in joined


def test_a_missing_extra_is_reported_and_a_floor_is_a_constraint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def run(command: tuple[str, ...], *, cwd: Path, **_: Any) -> Outcome:
        written.append((cwd / "constraints.txt").read_text())
        (cwd / "pylock.toml").write_text(entry("pandas", "1.5.3", "pandas-1.5.3-py3-none-any.whl"))
        return Outcome(
            command=command,
            code=0,
            out="",
            err="warning: The package `pandas==1.5.3` does not have an extra named `excel`",
        )

    monkeypatch.setattr(wheels, "run", run)
    mine = settings(tmp_path)
    found = wheels.resolve_wheels(
        ("pandas[excel]",), python="3.11", glibc="2.36", settings=mine, store=Store(tmp_path / "store"), web=Web(mine),
        offers=wheels.Offers(floors={"pandas": "1.5.2"}),
    )  # fmt: skip
    assert found.lacking == (("pandas", "1.5.3", "excel"),)
    assert written == ["pandas>1.5.2"]

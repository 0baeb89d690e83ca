"""What the entrypoint does to the hubs' caches on the data volume, boot after boot: its own function, run by sh. And what
becomes of a service's log on a full disk."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

ENTRYPOINT = Path(__file__).parents[2] / "templates/image/usr/local/lib/devenv/entrypoint"
ONE, OTHER = "1" * 40, "2" * 40


def _boot(root: Path, hugging: str = "", scope: str = "") -> None:
    """A boot with the model of `id@revision` on each hub; the mounted folder is always the same path."""
    (root / "model").mkdir(exist_ok=True)
    functions = re.findall(r"^\w+_model\(\) \{\n.*?^\}\n", ENTRYPOINT.read_text(), re.MULTILINE | re.DOTALL)
    env = {
        "PATH": "/usr/bin:/bin", "DEVENV_MODEL": str(root / "model"), "HF_HOME": str(root / "hf"),
        "MODELSCOPE_CACHE": str(root / "ms"), "DEVENV_MODEL_HUGGINGFACE": hugging, "DEVENV_MODEL_MODELSCOPE": scope,
    }  # fmt: skip
    code = "set -eu\nhome=/nonexistent as_user=\n" + "".join(functions) + "link_model\n"
    subprocess.run(["sh", "-c", code], env=env, check=True)


def _links(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink())


def test_both_hubs_libraries_are_shown_the_model(tmp_path: Path) -> None:
    _boot(tmp_path, f"acme/Tiny-1.0@{ONE}", "acme/Tiny-1.0@v1")
    _boot(tmp_path, f"acme/Tiny-1.0@{ONE}", "acme/Tiny-1.0@v1")
    repository = "hf/hub/models--acme--Tiny-1.0"
    assert _links(tmp_path) == [f"{repository}/snapshots/{ONE}", "ms/models/acme/Tiny-1___0"]
    assert (tmp_path / repository / "refs/main").read_text() == ONE


def test_a_later_model_is_not_shown_as_an_earlier_one(tmp_path: Path) -> None:
    _boot(tmp_path, f"acme/Tiny-1.0@{ONE}", "acme/Tiny-1.0@v1")
    _boot(tmp_path, f"acme/Tiny-1.0@{OTHER}", "acme/Tiny-1.0@v2")
    assert _links(tmp_path)[0].endswith(OTHER)
    assert len(_links(tmp_path)) == 2
    assert (tmp_path / "hf/hub/models--acme--Tiny-1.0/refs/main").read_text() == OTHER
    _boot(tmp_path, f"else/Big@{ONE}", "else/Big@v1")
    assert _links(tmp_path) == [f"hf/hub/models--else--Big/snapshots/{ONE}", "ms/models/else/Big"]
    assert not (tmp_path / "hf/hub/models--acme--Tiny-1.0/refs/main").exists()


def test_what_the_user_brought_stays_the_users(tmp_path: Path) -> None:
    repository = tmp_path / "hf/hub/models--acme--Tiny-1.0"
    for path in (repository / f"snapshots/{ONE}/x", repository / f"snapshots/{OTHER}/y", repository / "refs/main",
                 tmp_path / "ms/models/acme/Tiny-1___0/x"):  # fmt: skip
        path.parent.mkdir(parents=True)
        path.write_text(OTHER)
    (repository / "snapshots/link").symlink_to(tmp_path)
    _boot(tmp_path, f"acme/Tiny-1.0@{ONE}", "acme/Tiny-1.0@v1")
    assert (repository / f"snapshots/{ONE}").readlink() == tmp_path / "model"
    assert (tmp_path / "ms/models/acme/Tiny-1___0").readlink() == tmp_path / "model"
    assert not list((tmp_path / "model").iterdir())
    assert (repository / "refs/main").read_text() == OTHER, "the user's own branch"
    assert (repository / f"snapshots/{OTHER}/y").is_file()
    _boot(tmp_path, f"else/Big@{ONE}")
    assert (repository / f"snapshots/{ONE}/x").is_file(), "set aside, and back again"
    assert (tmp_path / "ms/models/acme/Tiny-1___0/x").is_file()
    assert (repository / "snapshots/link").is_symlink()


def test_folders_of_caches_are_made_by_the_user_and_kept(tmp_path: Path) -> None:
    function = re.findall(r"^make_caches\(\) \{\n.*?^\}\n", ENTRYPOINT.read_text(), re.MULTILINE | re.DOTALL)[0]
    env = {"PATH": "/usr/bin:/bin", "DEVENV_CACHE": str(tmp_path / ".cache/0123-cpu"), "DEVENV_CACHES": "triton vllm"}
    code = f'set -eu\nas_user=user\nuser() {{ echo "$@"; "$@"; }}\n{function}make_caches\n'
    told = subprocess.run(["sh", "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    assert told.count("mkdir -p") == 2
    kept = tmp_path / ".cache/0123-cpu/vllm/kept"
    kept.write_text("")
    subprocess.run(["sh", "-c", code], env=env, check=True, capture_output=True)
    assert kept.is_file()
    assert (tmp_path / ".cache/0123-cpu/triton").is_dir()
    subprocess.run(["sh", "-c", code], env={"PATH": "/usr/bin:/bin"}, check=True, capture_output=True)


def test_a_service_does_not_wait_for_its_log(tmp_path: Path) -> None:
    """svlogd pauses while the disk is full; here, until the test lets it continue."""
    program, out, go_on = tmp_path / "svlogd", tmp_path / "out", tmp_path / "go-on"
    program.write_text(f"#!/bin/sh\nwhile [ ! -e {go_on} ]; do sleep 0.05; done\ncat > {out}\n")
    program.chmod(0o755)
    service = subprocess.Popen(
        [ENTRYPOINT.with_name("log"), tmp_path / "logs"],
        stdin=subprocess.PIPE,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert service.stdin
    writing = threading.Thread(
        target=lambda: [service.stdin.write(b"x" * 1023 + b"\n") for _ in range(1024)], daemon=True
    )
    writing.start()
    writing.join(20)
    stuck = writing.is_alive()
    go_on.touch()
    service.stdin.close()
    assert service.wait(20) == 0
    assert not stuck, "the service waits"
    assert 0 < out.stat().st_size < 1 << 20, "what was kept, less what was dropped"
    assert (tmp_path / "logs/config").read_text() == "s1000000\nn5\n"

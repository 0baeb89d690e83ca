"""Which names are never carried, and which files a user may allow."""

from __future__ import annotations

import pytest

from devenv.secrets.finding import Finding, allowed
from devenv.secrets.paths import LEFT_OUT, by_path

NEVER = {
    "ssh": ".ssh/id_ed25519 .ssh/known_hosts work/id_rsa", "pgp": ".gnupg/trustdb.gpg", "cloud": ".aws/config .azure/x .config/gcloud/a/b",
    "kubernetes": ".kube/config", "docker": ".docker/config.json", "netrc": ".netrc", "git": ".git-credentials .config/gh/hosts.yml",
    "packages": ".npmrc .pypirc .config/uv/uv.toml .condarc", "hub": ".cache/huggingface/token .cache/huggingface/stored_tokens "
    ".modelscope/credentials/session .config/wandb/settings .kaggle/kaggle.json",
    "assistant": ".claude.json .claude/settings.json .claude-x/y .codex/auth.json",
    "history": ".bash_history .zsh_history .python_history .sqlite_history .viminfo .lesshst .wget-hsts .node_repl_history",
    "jupyter": ".jupyter/jupyter_server_config.json .local/share/jupyter/runtime/nbserver-1.json",
    "editor": ".local/share/code-server/User/globalStorage/state.vscdb .local/share/code-server/User/globalStorage/state.vscdb.backup "
    ".local/share/code-server/User/History/a/b .local/share/code-server/User/workspaceStorage/x",
    "environment-file": "app/.env app/.env.production .envrc", "key-container": "a.p12 A.PFX x/y.jks", "dump": "core core.123",
    "cache": ".cache/pip/x", "trash": ".Trash/x .Trash-1000/files/y",
}  # fmt: skip


@pytest.mark.parametrize("home", ["/root/", "home/dev/", "/home/Ada Lovelace/", "/workspace/"])
def test_the_list_holds_in_every_home(home: str) -> None:
    found = {name: by_path(home + name) for names in NEVER.values() for name in names.split()}
    assert {name: one.kind if one else None for name, one in found.items()} == {
        name: kind for kind, names in NEVER.items() for name in names.split()
    }


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc/shadow", "machine"), ("etc/ssh/ssh_host_rsa_key", "machine"), ("/etc/machine-id", "machine"),
        ("/etc/apt/auth.conf.d/a.conf", "apt"), ("/run/x", "temporary"), ("/tmp/a/b", "temporary"), ("/var/log/syslog", "log"),
    ],
)  # fmt: skip
def test_places_of_the_machine(path: str, kind: str) -> None:
    found = by_path(path)
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    "path",
    [
        "/workspace/.env.example", "/workspace/.environment", "/opt/venv/lib/python3.11/site-packages/certifi/cacert.pem",
        "/workspace/core.py", "/workspace/core/x.py", "/workspace/src/tmp/x", "/workspace/run/x", "/workspace/history.md",
        "/workspace/environment.yml", "/workspace/.gitignore", "/workspace/.git/config", "/home/dev/.config/pip/pip.conf",
        "/workspace/server.crt", "/workspace/key.py", "/workspace/.github/workflows/a.yml", "/workspace/data.key",
        "/opt/x/site-packages/pkg/core", "/usr/lib/node_modules/npm/.npmrc", "/workspace/etc/shadow", "/workspace/.bashrc",
    ],
)  # fmt: skip
def test_what_a_name_does_not_decide(path: str) -> None:
    assert by_path(path) is None


def test_only_files_are_judged_by_name() -> None:
    assert by_path("/root/.ssh/id_rsa", "link") is None
    assert by_path("/workspace/core", "folder") is None


def test_what_no_snapshot_needs_has_its_own_kinds() -> None:
    kinds = {
        one.kind for path in ("/tmp/x", "/var/log/x", "/root/.cache/x", "/root/.Trash/x") if (one := by_path(path))
    }
    assert kinds == LEFT_OUT


def test_a_hubs_token_in_the_cache_is_no_cache() -> None:
    found = by_path("/root/.cache/huggingface/token")
    assert found is not None
    assert found.kind not in LEFT_OUT


def test_a_pattern_allows_a_path_or_a_folder() -> None:
    findings = [Finding(path=path, kind="token", reason="r") for path in ("/a/b", "/a/bc", "/d/e/f", "/g")]
    refused, permitted = allowed(findings, ["a/b", "/d/", "/", ""])
    assert [one.path for one in permitted] == ["/a/b", "/d/e/f"]
    assert [one.path for one in refused] == ["/a/bc", "/g"]

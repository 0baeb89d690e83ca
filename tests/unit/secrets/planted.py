"""A planted set of secrets of every kind, made at run time: this file holds none.

Each comes from a seed, so that a test that fails can be repeated.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import random
import string
import tarfile
import zipfile
from collections.abc import Iterator
from urllib.parse import quote

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM = LOWER + UPPER + DIGITS
URLSAFE = ALNUM + "_-"
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"
KNOWN = 'Tr0ub4dor/&3 "quoted"-ünï'


@dataclasses.dataclass(frozen=True, slots=True)
class Plant:
    """One secret in one file. `kind` is of this set, not of the findings."""

    kind: str
    path: str
    content: bytes


class Maker:
    """Random values from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, alphabet: str, count: int) -> str:
        """Random characters, with a digit and a letter among the first ones, as made secrets nearly always have."""
        if alphabet in (ALNUM, URLSAFE, BASE64, HEX, LOWER + DIGITS):
            letter, digit = self._random.choice("abcdef"), self._random.choice("23456789")
            return (
                letter + digit + "".join(self._random.choices(alphabet.replace("_", "").replace("-", ""), k=count - 2))
            )
        return "".join(self._random.choices(alphabet, k=count))

    def uuid(self) -> str:
        return "-".join(self.of(HEX, size) for size in (8, 4, 4, 4, 12))

    def pem(self, name: str) -> str:
        lines = "\n".join("M" + self.of(BASE64, 63) for _ in range(12))
        return f"-----BEGIN {name}PRIVATE KEY-----\n{lines}\n-----END {name}PRIVATE KEY-----\n"

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': self.of(ALNUM, 12), 'exp': 1900000000})}.{self.of(URLSAFE, 43)}"


def planted(seed: int) -> tuple[Plant, ...]:
    """The whole set."""
    make = Maker(seed)
    return tuple(Plant(kind, path, text.encode() if isinstance(text, str) else text) for kind, path, text in _all(make))


def _all(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    yield from _keys(make)
    yield from _clouds(make)
    yield from _code_hosts(make)
    yield from _models(make)
    yield from _services(make)
    yield from _logins(make)
    yield from _inside(make)
    yield from _by_name(make)


def _keys(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    for number, name in enumerate(("RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED ")):
        yield "private key", f"/workspace/deploy{number}.pem", make.pem(name)
    yield "private key in a string", "/workspace/app.py", f"KEY = {json.dumps(make.pem(''))}\n"
    yield "PGP key", "/workspace/backup.asc", make.pem("PGP ").replace("KEY-----", "KEY BLOCK-----")
    yield (
        "PuTTY key",
        "/workspace/putty.txt",
        "PuTTY-User-" + "Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n",
    )
    yield "DER key", "/workspace/server.key", b"\x30\x82\x04\xbd\x02\x01\x00\x30\x0d\x06\x09" + bytes(range(200))
    yield "age key", "/workspace/age.txt", "AGE-SECRET-" + "KEY-1" + make.of(UPPER + DIGITS, 58)


def _clouds(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    key_id = "AKIA" + make.of(UPPER + "234567", 16)
    yield "AWS key", "/workspace/boto.txt", f"[default]\naws_access_key_id = {key_id}\n"
    yield "AWS secret", "/workspace/s3.sh", f"export AWS_SECRET_ACCESS_KEY={make.of(BASE64, 40)}\n"
    account = {"type": "service_account", "private_key_id": make.of(HEX, 40), "private_key": make.pem("")}
    yield "GCP service account", "/workspace/robot.json", json.dumps(account)
    yield "Google key", "/workspace/maps.js", "const k = 'AIza" + make.of(URLSAFE, 35) + "';"
    yield "Google key", "/workspace/session.txt", "ya29." + make.of(URLSAFE, 120)
    key = base64.b64encode(make.of(ALNUM, 64).encode()).decode()
    yield (
        "Azure key",
        "/workspace/az.py",
        f'c = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={key};EndpointSuffix=core"\n',
    )
    signature = quote(make.of(BASE64, 43) + "=", safe="")
    yield (
        "Azure SAS",
        "/workspace/get.sh",
        f"curl 'https://a.blob.core/x?sv=2024-01-01&se=2030-01-01&sp=r&sig={signature}'\n",
    )
    yield "Alibaba key", "/workspace/oss.py", "id = 'LTAI" + make.of(ALNUM, 20) + "'\n"
    yield "Tencent key", "/workspace/cos.py", "id = 'AKID" + make.of(ALNUM, 32) + "'\n"
    yield "DigitalOcean token", "/workspace/do.sh", "doctl auth init -t dop_v1_" + make.of(HEX, 64) + "\n"
    yield "Databricks token", "/workspace/dbx.py", "t = 'dapi" + make.of(HEX, 32) + "'\n"


def _code_hosts(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    yield "GitHub token", "/workspace/a.sh", "GH=ghp_" + make.of(ALNUM, 36) + "\n"
    yield "GitHub token", "/workspace/b.sh", "x github_pat_" + make.of(ALNUM, 22) + "_" + make.of(ALNUM, 59) + "\n"
    yield "GitLab token", "/workspace/c.sh", "curl -H 'PRIVATE-TOKEN: glpat-" + make.of(URLSAFE, 20) + "'\n"
    yield "Bitbucket token", "/workspace/d.sh", "ATBB" + make.of(ALNUM, 32) + "\n"
    yield "npm token", "/workspace/e.txt", "npm_" + make.of(ALNUM, 36) + "\n"
    yield "PyPI token", "/workspace/f.txt", "pypi-AgEIcHlwaS5vcmc" + make.of(URLSAFE, 150) + "\n"
    yield "Docker token", "/workspace/g.txt", "docker login -p dckr_pat_" + make.of(URLSAFE, 27) + "\n"


def _models(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    yield "Hugging Face token", "/workspace/h.py", 'login("hf_' + make.of(ALNUM, 34) + '")\n'
    yield "Hugging Face token", "/workspace/log.json", json.dumps({"text": "token:\nhf_" + make.of(ALNUM, 34)})
    yield "ModelScope token", "/workspace/i.py", "api.login('ms-" + make.uuid() + "')\n"
    yield "OpenAI key", "/workspace/j.py", 'k = "sk-proj-' + make.of(URLSAFE, 120) + '"\n'
    yield "OpenAI key", "/workspace/k.py", 'k = "sk-' + make.of(ALNUM, 48) + '"\n'
    yield "Anthropic key", "/workspace/l.py", 'k = "sk-ant-api03-' + make.of(URLSAFE, 95) + '"\n'
    yield "Groq key", "/workspace/m.py", "gsk_" + make.of(ALNUM, 52)
    yield "NVIDIA key", "/workspace/n.py", "nvapi-" + make.of(URLSAFE, 64)
    yield "Replicate key", "/workspace/o.py", "r8_" + make.of(ALNUM, 37)
    yield "W&B key", "/workspace/p.sh", f"export WANDB_API_KEY={make.of(HEX, 40)}\n"
    yield "Kaggle key", "/workspace/q.json", json.dumps({"username": "ada", "key": make.of(HEX, 32)})


def _services(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    yield (
        "Slack token",
        "/workspace/r.py",
        "xoxb-" + make.of(DIGITS, 12) + "-" + make.of(DIGITS, 12) + "-" + make.of(ALNUM, 24),
    )
    hook = f"T{make.of(UPPER, 8)}/B{make.of(UPPER, 8)}/{make.of(ALNUM, 24)}"
    yield "Slack webhook", "/workspace/s.py", f"url = 'https://hooks.slack.com/services/{hook}'\n"
    yield "Stripe key", "/workspace/t.py", "sk_live_" + make.of(ALNUM, 24)
    yield "SendGrid key", "/workspace/u.py", "'SG." + make.of(URLSAFE, 22) + "." + make.of(URLSAFE, 43) + "'"
    yield "Twilio key", "/workspace/v.py", "'SK" + make.of(HEX, 32) + "'"
    yield "Telegram token", "/workspace/w.py", "bot = '" + make.of("123456789", 10) + ":AA" + make.of(URLSAFE, 33) + "'"
    yield "Vault token", "/workspace/x.sh", "VAULT=hvs." + make.of(URLSAFE, 90)
    yield "JWT", "/workspace/y.py", f"s = '{make.jwt()}'\n"
    yield "bearer header", "/workspace/z.sh", f"curl -H 'Authorization: Bearer {make.of(ALNUM, 40)}'\n"


def _logins(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    word = make.of(ALNUM, 12)
    yield "netrc lines", "/workspace/copy.txt", f"machine git.corp.internal\n  login ada\n  password {word}\n"
    yield "URL login", "/workspace/.git/config", f'[remote "o"]\n\turl = https://ada:{word}@git.corp.internal/x.git\n'
    yield (
        "URL login",
        "/workspace/direct_url.json",
        json.dumps({"url": f"https://{make.of(ALNUM, 30)}@git.corp.internal/x"}),
    )
    yield "URL login", "/etc/pip.conf", f"[global]\nindex-url = https://ci:{word}@pypi.corp.internal/simple\n"
    yield "URL login", "/etc/apt/sources.list", f"deb https://ci:{word}@apt.corp.internal/debian stable main\n"
    yield "database URL", "/workspace/compose.yaml", f"  DATABASE_URL: postgres://app:{word}@db:5432/app\n"
    login = base64.b64encode(f"ada:{word}".encode()).decode()
    yield (
        "Docker login",
        "/workspace/logins.json",
        json.dumps({"auths": {"r.corp.internal": {"auth": login}}}, indent=2),
    )
    users = (
        f"users:\n- name: ada\n  user:\n    client-key-data: {base64.b64encode(make.pem('RSA ').encode()).decode()}\n"
    )
    yield "kubeconfig", "/workspace/cluster.yaml", users
    yield "kubeconfig", "/workspace/token.yaml", f"users:\n- name: ada\n  user:\n    token: {make.of(ALNUM, 64)}\n"
    yield "password", "/workspace/settings.py", f'DB_PASSWORD = "{word}"\n'
    yield "password", "/workspace/settings.yaml", f"database:\n  password: {word}\n"
    yield "password", "/workspace/my.ini", f"[client]\npassword={word}!\n"
    yield "API key", "/workspace/conf.toml", f'api_key = "{make.of(HEX, 32)}"\n'
    yield "API key", "/workspace/conf.js", f"const c = {{ apiKey: '{make.of(ALNUM, 32)}' }}\n"
    yield "client secret", "/workspace/oauth.py", f"client_secret='{make.of(ALNUM, 24)}'\n"
    salted = f"argon2:$argon2id$v=19$m=10240,t=10,p=8${make.of(ALNUM, 22)}${make.of(ALNUM, 43)}"
    yield "Jupyter password", "/workspace/jupyter.py", f"c.PasswordIdentityProvider.hashed_password = '{salted}'\n"
    yield "Jupyter token", "/workspace/nb.log", f"http://localhost:8888/lab?token={make.of(HEX, 48)}\n"


def _inside(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    token = "hf_" + make.of(ALNUM, 34)
    output = {"output_type": "stream", "name": "stdout", "text": ["ok\n", f"token is {token}\n"]}
    book = {"nbformat": 4, "metadata": {}, "cells": [
        {"cell_type": "markdown", "source": ["hello"]}, {"cell_type": "code", "source": ["print(t)"], "outputs": [output]},
    ]}  # fmt: skip
    yield "notebook output", "/workspace/try.ipynb", json.dumps(book)
    yield "in a gzip", "/workspace/old.log.gz", gzip.compress(f"t={token}\n".encode())
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/conf.py", f"T = '{token}'\n")
    yield "in a wheel", "/workspace/own-1.0-py3-none-any.whl", data.getvalue()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo("home/ada/.netrc")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"empty"))
    yield "in a tar, by its name", "/workspace/home.tgz", data.getvalue()
    yield "in UTF-16", "/workspace/win.txt", f"token {token}\r\n".encode("utf-16")
    yield "in a database", "/workspace/own.sqlite", b"SQLite format 3\0" + bytes(300) + token.encode() + bytes(300)
    yield "known value", "/workspace/a.txt", f"pw {KNOWN} end"
    yield "known value, in base64", "/workspace/b.txt", base64.b64encode(f"u:{KNOWN}".encode())
    yield "known value, in an address", "/workspace/c.txt", quote(KNOWN, safe="")
    yield "known value, in JSON", "/workspace/d.json", json.dumps({"x": KNOWN})


def _by_name(make: Maker) -> Iterator[tuple[str, str, str | bytes]]:
    for kind, path in (
        ("SSH folder", "/home/ada/.ssh/config"), ("SSH host key", "/etc/ssh/ssh_host_ed25519_key"),
        ("GnuPG folder", "/root/.gnupg/private-keys-v1.d/a.key"), ("shell history", "/home/dev/.bash_history"),
        ("Python history", "/home/dev/.python_history"), ("netrc", "/home/dev/.netrc"), ("shadow", "/etc/shadow"),
        ("environment file", "/workspace/.env"), ("environment file", "/workspace/.env.local"),
        ("key container", "/workspace/Client.P12"), ("kubeconfig file", "/home/dev/.kube/config"),
        ("hub's token file", "/home/dev/.cache/huggingface/token"), ("machine id", "/etc/machine-id"),
        ("hub's token file", "/home/dev/.modelscope/credentials/git_token"), ("memory dump", "/workspace/core.4711"),
        ("editor's storage", "/home/dev/.local/share/code-server/User/globalStorage/state.vscdb"),
        ("assistant's login", "/home/dev/.claude.json"), ("assistant's login", "/home/dev/.codex/auth.json"),
        ("git credentials", "/home/dev/.git-credentials"), ("Docker's config", "/home/dev/.docker/config.json"),
        ("cloud folder", "/home/dev/.aws/credentials"), ("cloud folder", "/home/dev/.config/gcloud/credentials.db"),
        ("Jupyter's runtime", "/home/dev/.local/share/jupyter/runtime/kernel-1.json"),
        ("apt's logins", "/etc/apt/auth.conf.d/corp.conf"), ("npmrc", "/home/dev/.npmrc"), ("pypirc", "/home/dev/.pypirc"),
    ):  # fmt: skip
        yield kind, path, f"nothing of a known form {make.of(DIGITS, 3)}\n"

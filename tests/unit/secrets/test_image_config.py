"""An image's configuration is seen by all who have the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from devenv.doors.settings.credentials import Credential
from devenv.secrets.finding import Finding
from devenv.secrets.image_config import image_config
from devenv.secrets.known import KnownValues
from devenv.secrets.scanner import Scanner
from tests.unit.secrets.planted import ALNUM, HEX, Maker

MAKE = Maker(5)
TOKEN = "hf_" + MAKE.of(ALNUM, 34)
PASSWORD = MAKE.of(ALNUM, 12)


def _config(
    env: Sequence[str] = (),
    cmd: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    history: Sequence[str] = (),
) -> tuple[Finding, ...]:
    scanner = Scanner(KnownValues.of([Credential(origin="the proxy", value=PASSWORD)]))
    return image_config(scanner, env=env, cmd=cmd, labels=labels or {}, history=history)


def test_each_part_is_named() -> None:
    found = _config(
        env=["PATH=/usr/bin", f"HF={TOKEN}"],
        cmd=["run", f"--token={TOKEN}"],
        labels={"a": "b", "note": f"https://ci:{PASSWORD}@pypi.corp.internal/simple"},
        history=["RUN true", f"RUN pip install --index-url=https://x:{PASSWORD}@y.internal"],
    )
    assert {(one.path, one.kind) for one in found} == {
        ("image: Env HF", "huggingface-token"),
        ("image: Cmd", "huggingface-token"),
        ("image: label note", "known-value"),
        ("image: label note", "url-login"),
        ("image: history 2", "known-value"),
        ("image: history 2", "url-login"),
    }


def test_a_variable_with_a_secrets_name_counts_whatever_its_value() -> None:
    value = MAKE.of("abcdefghij", 9)
    assert [one.kind for one in _config(env=[f"SERVICE_PASSWORD={value}"])] == ["secret-variable"]
    assert [one.path for one in _config(history=[f"/bin/sh -c #(nop)  ENV MY_API_KEY={value}"])] == ["image: history 1"]


def test_variables_of_public_images_are_none() -> None:
    assert _config(
        env=[
            f"GPG_KEY={MAKE.of(HEX.upper(), 40)}", f"PYTHON_SHA256={MAKE.of(HEX, 64)}", "SSL_CERT_FILE=/etc/ssl/ca.crt",
            "DEVENV_TOKEN_FILE=/run/devenv/token", "PASSWORD=", "API_KEY=${API_KEY}", "TOKENIZERS_PARALLELISM=false",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470", "DB_PASSWORD=changeme",
        ],
        history=["RUN --mount=type=secret,id=pip_token pip install x", f"COPY sha256:{MAKE.of(HEX, 64)} /opt"],
    ) == ()  # fmt: skip

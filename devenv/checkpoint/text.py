"""An offer as the text of a devenv.yaml: the model, its server, and a smoke test that asks for one completion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from devenv.checkpoint.serving import SERVER
from devenv.compat.architectures import architectures
from devenv.preset.project_root import PROJECT_FILE
from devenv.preset.scaffold import SCHEMA_FILE, scalar
from devenv.resolve.model import model_name

if TYPE_CHECKING:
    from devenv.checkpoint.offer import Offer

CHECK = ".devenv/completion.py"
"""The smoke test, beside the project's devenv.yaml."""
_CHECK_INSIDE = "/usr/local/share/devenv/completion.py"
_PORT, _INSIDE_PORT = 8600, 8601
_ENV = {"vllm": 'HF_HUB_OFFLINE: "1", VLLM_NO_USAGE_STATS: "1"', "transformers": 'HF_HUB_OFFLINE: "1"'}
_STARTS_S = 1800
"""Reading tens of gigabytes from a slow disk, and compiling at the first start."""


def yaml_text(offer: Offer, name: str, lines: tuple[str, ...]) -> str:
    """The file's text; `lines`: what is known about the model, as comments."""
    return "\n".join(_lines(offer, name, lines)) + "\n"


def mount(offer: Offer) -> str:
    """Where the model lies in the container, whatever the environment's name."""
    return f"/models/{model_name(offer.checkpoint.id)}"


def command(offer: Offer) -> tuple[str, ...]:
    """The server's program and its arguments."""
    name = ("--served-model-name", offer.checkpoint.id)
    trusted = ("--trust-remote-code",) if offer.support.needs_code else ()
    release = offer.serving.release
    if release.engine == "vllm":
        # Without it, vLLM does not start where the model's longest context has no room. Older releases do not know it.
        fitted = ("--max-model-len", "auto") if architectures("vllm", release.version) else ()
        at = ("--host", "127.0.0.1", "--port", str(_INSIDE_PORT))
        return ("vllm", "serve", mount(offer), *name, *at, *fitted, *trusted)
    return ("python", SERVER, mount(offer), *name, "--port", str(_INSIDE_PORT), *trusted)


def smoke(offer: Offer) -> tuple[str, ...]:
    """The smoke test's program and its arguments."""
    kind = {"picture": ("--picture",), "text": ("--text",), "chat": ()}[offer.kind]
    return ("python", _CHECK_INSIDE, "--model", offer.checkpoint.id, "--port", str(_INSIDE_PORT), *kind)


def _lines(offer: Offer, name: str, lines: tuple[str, ...]) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_FILE.as_posix()}"
    yield "#"
    yield f"# Made by 'devenv init --model {offer.checkpoint.id}'."
    yield from (f"#   {line}" for line in lines)
    yield f"# It serves OpenAI's API; {PROJECT_FILE} is laid over the preset that it extends."
    yield "#   devenv up                makes it and starts it         devenv up --role serve   the server alone"
    yield ""
    yield f"extends: {scalar(offer.extends)}" + (f" # {offer.serving.why}" if offer.serving.why else "")
    yield f"name: {scalar(name)}"
    if offer.base is not None:
        yield from offer.base.lines()
    yield from _model(offer)
    yield from _needs(offer)
    yield from _service(offer)


def _model(offer: Offer) -> Iterator[str]:
    checkpoint = offer.checkpoint
    moved = f" # {checkpoint.asked} when this file was made" if checkpoint.asked != checkpoint.revision else ""
    yield ""
    yield "model:"
    yield f"  {checkpoint.hub}:"
    yield f"    id: {scalar(checkpoint.id)}"
    yield f"    revision: {_revision(checkpoint.revision)}{moved}"
    yield f"  mount: {mount(offer)}"
    if offer.chosen.deny:
        yield f"  deny: {json.dumps(list(offer.chosen.deny))}"


def _needs(offer: Offer) -> Iterator[str]:
    what = f"for weights in {offer.checkpoint.quantisation}"
    yield ""
    if offer.serving.release.engine == "vllm":
        yield "gpu:"
        yield f"  memory: {offer.need.total_gib}g # at least; vLLM takes what it gets, for longer contexts"
        if offer.capability:
            yield f'  min_capability: "{offer.capability}" # {what}'
    else:
        yield f"memory: {offer.need.total_gib}g"
    if offer.support.packages:
        yield f"pip: {json.dumps(list(offer.support.packages))} # {what}"


def _service(offer: Offer) -> Iterator[str]:
    yield ""
    yield "services:"
    yield "  model: # clients take the printed URL as base_url, and the environment's token as api_key"
    yield f"    command: {json.dumps(list(command(offer)))}"
    yield f"    env: {{{_ENV[offer.serving.release.engine]}}} # all that it needs is in the lock"
    yield f"    port: {_PORT}"
    yield f"    listen: 127.0.0.1:{_INSIDE_PORT}"
    yield "    url: /v1"
    yield "    health: {path: /health}"
    yield f"    timeout_s: {_STARTS_S}"
    yield "    role: both"
    yield ""
    what = {"picture": "about a picture", "text": "of a text: the model has no chat template", "chat": "of a chat"}
    yield "smoke:"
    yield f"  completion: # one real completion {what[offer.kind]}"
    yield f"    run: {json.dumps(list(smoke(offer)))}"
    yield f"    timeout_s: {_STARTS_S}"
    yield "files:"
    yield f"  {_CHECK_INSIDE}: {CHECK}"


def _revision(text: str) -> str:
    """A commit of digits alone is a number to YAML."""
    return text if text[:1].isalpha() and text.isalnum() else json.dumps(text)

"""What is known about a model before anything is downloaded: for people, and as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devenv.doors.terminal.console import bytes_text

if TYPE_CHECKING:
    from devenv.checkpoint.memory import Need
    from devenv.checkpoint.offer import Offer
    from devenv.doors.machine.model import Machine

_GIB = 1 << 30


def lines(offer: Offer) -> tuple[str, ...]:
    """One statement a line: model, size, memory, licence, engine."""
    checkpoint, about = offer.checkpoint, offer.checkpoint.about
    gate = "gated, and your token has access" if about.is_gated else (
        "not gated" if about.is_gated is False else "gate not known"
    )  # fmt: skip
    count = len(offer.chosen.weights)
    weights = f"of which weights {bytes_text(offer.chosen.weights_bytes)} in {count} file{'s' if count > 1 else ''}"
    return (
        f"model: {checkpoint.id} at {checkpoint.revision[:12]} of {checkpoint.hub}",
        f"download: {bytes_text(offer.chosen.all_bytes)} ({offer.chosen.all_bytes} bytes), {weights}",
        _memory(offer.need, offer),
        f"licence: {about.licence or 'not known'}; {gate}",
        f"architecture: {_architecture(offer)}",
    )


def here(offer: Offer, machine: Machine) -> str:
    """This machine's memory beside the need; empty where the warnings have it."""
    have = _have(offer, machine)
    if have < offer.need.total_bytes:
        return ""
    if offer.serving.release.engine == "transformers":
        return f"this machine has {_gib(have)} of memory"
    largest = max(machine.nvidia.gpus, key=lambda gpu: gpu.memory_bytes)
    return f"this machine's {largest.name} has {_gib(have)}"


def warnings(offer: Offer, machine: Machine) -> tuple[str, ...]:
    """What may keep it from running here, and what runs that is not devenv's."""
    found = []
    if offer.support.needs_code:
        code = [file.path for file in offer.chosen.others if file.path.endswith(".py")]
        found.append(f"the server runs the model's own code in the container, as you said: {', '.join(code)}")
    have = _have(offer, machine)
    if offer.serving.release.engine == "vllm" and not machine.nvidia.gpus:
        found.append("this machine has no NVIDIA GPU that its driver reports: 'devenv up' will refuse it here")
    elif not 0 < have < offer.need.total_bytes:
        pass
    elif offer.serving.release.engine == "transformers":
        found.append(f"this machine has {_gib(have)} of memory, which is not enough")
    else:
        found.append(
            f"the largest GPU here has {_gib(have)}, which is not enough; vLLM divides a model between N GPUs with "
            "--tensor-parallel-size N in the service's command (then set gpu.count, and a lower gpu.memory)"
        )
    return tuple(found)


def _have(offer: Offer, machine: Machine) -> int:
    """Bytes of the memory that the engine takes; 0 where it is not known."""
    if offer.serving.release.engine == "transformers":
        return machine.memory_bytes
    return max((gpu.memory_bytes for gpu in machine.nvidia.gpus), default=0)


def document(offer: Offer, machine: Machine) -> dict[str, Any]:
    """The keys that `init --json` adds."""
    checkpoint, need = offer.checkpoint, offer.need
    return {
        "extends": offer.extends,
        "model": {
            "hub": checkpoint.hub, "id": checkpoint.id, "asked": checkpoint.asked, "revision": checkpoint.revision,
            "architecture": checkpoint.architecture, "type": checkpoint.type,
            "quantisation": checkpoint.quantisation or None,
            "licence": checkpoint.about.licence or None, "gated": checkpoint.about.is_gated,
            "files": len(offer.chosen.weights) + len(offer.chosen.others), "bytes": offer.chosen.all_bytes,
            "weights_bytes": offer.chosen.weights_bytes, "deny": list(offer.chosen.deny),
        },
        "memory": {
            "of": "gpu" if offer.serving.release.engine == "vllm" else "machine", "bytes": need.total_bytes,
            "weights_bytes": need.weights_bytes, "cache_bytes": need.cache_bytes, "cache_tokens": need.tokens,
            "engine_bytes": need.engine_bytes, "here_bytes": _have(offer, machine) or None,
        },
        "engine": {
            "name": offer.serving.release.engine, "version": offer.serving.release.version,
            "knows_architecture": offer.support.knowledge, "runs_code": offer.support.needs_code,
        },
        "smoke": offer.kind,
    }  # fmt: skip


def _memory(need: Need, offer: Offer) -> str:
    of = "GPU memory" if offer.serving.release.engine == "vllm" else "memory"
    cache = f"cache for {need.tokens} tokens {bytes_text(need.cache_bytes)}" if need.cache_bytes is not None else (
        "cache not known"
    )  # fmt: skip
    return (
        f"{of}: about {need.total_gib} GiB at least (weights {bytes_text(need.weights_bytes)}, {cache}, "
        f"the engine's own {bytes_text(need.engine_bytes)})"
    )


def _architecture(offer: Offer) -> str:
    title = offer.serving.release.title
    words = {
        "known": f"{title} knows it",
        "by Transformers": f"{title} does not list it, and Transformers does: not known whether vLLM runs it with that",
        "by its own code": f"{title} does not know it: it runs by the code in the repository",
        "not known": f"not known whether {title} knows it",
    }
    pictures = "; it takes pictures" if offer.support.takes_pictures else ""
    return f"{offer.checkpoint.architecture}: {words[offer.support.knowledge]}{pictures}"


def _gib(bytes_: int) -> str:
    return f"{bytes_ / _GIB:.1f} GiB"

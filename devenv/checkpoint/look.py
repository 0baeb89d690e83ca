"""From a model's name to its checkpoint: one hub is asked, and only for metadata and small JSON files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devenv.checkpoint.checkpoint import Checkpoint
from devenv.doors.http.hub_pages import page
from devenv.doors.http.hubs import NAMES, About, Hub, MissingError, UnreachedError, hub, hub_order
from devenv.doors.http.web import Web
from devenv.doors.settings.settings import Settings
from devenv.doors.untrusted import from_json
from devenv.errors import FetchError, UsageError
from devenv.preset.model import COMMIT, REPOSITORY, REVISION
from devenv.resolve.model import nobody_answers

_BRANCH = r"[0-9A-Za-z][0-9A-Za-z._/-]{0,99}"
_LARGEST = 16 << 20
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model as the command line names it: `OWNER/NAME` or `OWNER/NAME@REVISION`."""

    id: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Named:
        """Raises UsageError."""
        id_, at, revision = text.partition("@")
        if not re.fullmatch(REPOSITORY, id_):
            raise UsageError(
                f"{id_!r} is not a model's name",
                hint="write OWNER/NAME or OWNER/NAME@REVISION, as the hub's page has it",
            )
        if at and (not re.fullmatch(_BRANCH, revision) or ".." in revision):
            raise UsageError(
                f"{revision!r} is not a revision", hint="write a commit, a tag or a branch: OWNER/NAME@REVISION"
            )
        return cls(id=id_, revision=revision or None)


def look(
    named: Named, settings: Settings, web: Web, *, asked: Sequence[str] = (), note: Callable[[str], None]
) -> Checkpoint:
    """The checkpoint on the first hub of the user's order that answers; `asked`: only these hubs. `note` gets what is
    worth a line. Raises FetchError, UsageError."""
    order = hub_order(NAMES, [name for name in asked if name in NAMES], settings.hubs.order, name=named.id)
    silent: dict[str, UnreachedError] = {}
    for name in order:
        try:
            return _on(hub(name, settings.hubs), named, web)
        except UnreachedError as error:
            silent[name] = error
            if name != order[-1]:
                note(f"{error.message}; asking {order[order.index(name) + 1]}")
    raise nobody_answers(silent)


def _on(asked: Hub, named: Named, web: Web) -> Checkpoint:
    revision = named.revision or asked.branch
    try:
        about = asked.about(named.id, revision)
    except MissingError as error:
        near = [name for name in asked.near(named.id) if name != named.id]
        first = f"did you mean {' or '.join(near)}?" if near else "check the name."
        other = next(name for name in NAMES if name != asked.name)
        raise FetchError(
            error.message, where=error.where, detail=error.detail,
            hint=f"{first} Where the name is right: {error.hint}; or ask the other hub: --source {other}",
        ) from None  # fmt: skip
    if about.is_gated and not asked.headers():
        raise asked.denied(named.id)
    pinned = _pinned(asked, named.id, revision, about)
    texts = _Texts(asked, web, named.id, pinned, about)
    in_tokenizer = bool(texts.object("tokenizer_config.json").get("chat_template"))
    return Checkpoint(
        hub=asked.name, id=named.id, asked=revision, revision=pinned, about=about, config=texts.object("config.json"),
        has_template=in_tokenizer or any(map(texts.has, _TEMPLATES)),
    )  # fmt: skip


def _pinned(asked: Hub, id_: str, revision: str, about: About) -> str:
    """The commit, or, where the hub names none, the revision as it was asked for."""
    pinned = about.commit or revision
    if not re.fullmatch(COMMIT if asked.name == "huggingface" else REVISION, pinned):
        raise FetchError(
            f"the server for {asked.name} names no commit of {id_} at {revision}",
            hint="check the address (HF_ENDPOINT): its server does not speak the hub's whole API",
        )
    return pinned


class _Texts:
    """The JSON files of one repository."""

    def __init__(self, asked: Hub, web: Web, id_: str, revision: str, about: About) -> None:
        self._ask = (asked, web, id_, revision)
        self._sizes = {file.path: file.size for file in about.files}

    def has(self, path: str) -> bool:
        """Whether the hub lists it."""
        return path in self._sizes

    def object(self, path: str) -> Mapping[str, Any]:
        """The object in a file; empty where there is no such file. Raises FetchError."""
        if not self.has(path):
            return {}
        asked, web, id_, revision = self._ask
        where = f"{id_}@{revision[:12]}"
        if self._sizes[path] > _LARGEST:
            raise FetchError(f"{path} has {self._sizes[path]:,} bytes, which is too large to be one", where=where)
        try:
            value = from_json(page(asked, web, id_, revision, path))
        except ValueError as error:
            raise FetchError(f"{path} cannot be read: {error}", where=where, hint="name another revision") from None
        if not isinstance(value, dict):
            raise FetchError(f"{path} is not a JSON object", where=where, hint="name another revision")
        return value

"""Small texts of a hub's repository: read, bounded, with the hub's own errors."""

from __future__ import annotations

from devenv.doors.http.hubs import Hub, UnreachedError
from devenv.doors.http.web import NowhereError, Origin, Web
from devenv.errors import FetchError


def page(hub: Hub, web: Web, id_: str, revision: str, path: str) -> str:
    """The text of one file at a revision. Raises FetchError: without access, UnreachedError."""
    origin = Origin(url=hub.url(id_, revision, path), headers=tuple(hub.headers().items()))
    try:
        return web.page(origin)[0]
    except NowhereError as error:
        if any(reason.why.startswith(("401", "403")) for reason in error.reasons):
            raise hub.denied(id_) from None
        if all(reason.offline or reason.passing for reason in error.reasons):
            raise UnreachedError(error.message, detail=error.detail, hint=error.hint) from None
        raise FetchError(f"{hub.name} lists {path} of {id_}, and does not send it", detail=error.detail) from None

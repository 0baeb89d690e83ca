"""The trusted certificates, as a value: the system's, and those that the user's settings name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devenv.doors import files
from devenv.errors import FetchError

if TYPE_CHECKING:
    import ssl

    from devenv.doors.settings.settings import Settings

Channel = Literal["apt", "pip", "npm", "plain"]
"""Whose proxy and certificates a request uses."""


def trust(settings: Settings, channel: Channel) -> ssl.SSLContext:
    """What requests of a channel trust. Raises FetchError for certificates that cannot be used."""
    import ssl

    own = {"pip": settings.pip.cert, "npm": settings.npm.cafile}.get(channel)
    context = trusting(file for file in (settings.ca_bundle, own) if file is not None)
    if channel == "npm" and settings.npm.ca:
        try:
            context.load_verify_locations(cadata=settings.npm.ca)
        except ssl.SSLError as error:
            raise FetchError(f"cannot use npm's 'ca' setting: {error}", hint="npm config get ca") from None
    return context


def trusting(bundles: Iterable[Path]) -> ssl.SSLContext:
    """The system's certificates and those of these bundles. Raises FetchError."""
    import ssl

    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for file in dict.fromkeys(bundles):
        try:
            context.load_verify_locations(cafile=file)
        except ssl.SSLError:
            raise _unusable(file, "it holds no certificate in PEM") from None
        except OSError as error:
            raise _unusable(file, files.reason(error)) from None
    return context


def _unusable(file: Path, why: str) -> FetchError:
    return FetchError(f"cannot use the CA bundle {file}: {why}", hint="find the setting that names it: devenv settings")

"""The connection that holds open the standard input of a command in a container."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from devenv.doors.docker.output import close


class Held:
    """A command's standard input, on a connection of its own. It raises nothing, even when the engine is lost."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        # The SDK's file object only reads; it wraps the socket (with HTTP over ssh it is the socket).
        self._socket = getattr(stream, "_sock", stream)

    def send(self, data: bytes) -> None:
        """Send `data` if the connection still exists."""
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def wait(self, seconds: float) -> None:
        """Wait until the command has ended, `seconds` at most."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(seconds)
            while self._socket.recv(4096):
                pass

    def close(self) -> None:
        """Close the connection, which ends the command's standard input."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        close(self._stream)

"""The sockets of `weights serve`: a bounded number of connections, with a time limit for each request."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import time
from typing import Any

from devenv.weights.serve.guests import Guests

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listening(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each connection that `guests` has a place for."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.guests = Guests()
        super().__init__(address, handler)

    def service_actions(self) -> None:
        """The accepting thread calls this regularly."""
        for connection in self.guests.late():
            _end(connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection. Without a free file descriptor, the connection and this method wait."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, when there is a place or another client loses its place."""
        has_place, gone = self.guests.admit(request, str(client_address[0]))
        if gone is not None:
            _end(gone)
        if not has_place:
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.guests.leaves(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.guests.leaves(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: the client closed its connection."""

    def server_bind(self) -> None:
        """Bind without the look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def reachable(host: str) -> str:
    """The host's name in an address for other machines, when a server listens on `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _end(connection: Any) -> None:
    """Its thread wakes up, and closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

"""The sockets of `weights serve`: a bounded number of connections, none of which may take its time over a request."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import threading
import time
from typing import Any

CONNECTIONS = 128
_REQUEST_S = 60.0
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Listening(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each connection, and no more than `connections` of them."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: Any, *, connections: int = CONNECTIONS) -> None:
        self.request_s = _REQUEST_S
        self._slots = threading.BoundedSemaphore(connections)
        self._due: dict[socket.socket, float] = {}
        super().__init__(address, handler)

    def reading(self, connection: socket.socket) -> None:
        """A request is waited for: head and body are here in time, or the connection ends."""
        self._due[connection] = time.monotonic() + self.request_s

    def was_read(self, connection: socket.socket) -> None:
        """It is here."""
        self._due.pop(connection, None)

    def service_actions(self) -> None:
        """Called all the time by the accepting thread."""
        now = time.monotonic()
        for connection, due in list(self._due.items()):
            if now > due:
                self._due.pop(connection, None)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection. Without a file descriptor for it, it goes on waiting, and so does this."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, when there is room for one more."""
        if not self._slots.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.was_read(request)
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up."""

    def server_bind(self) -> None:
        """Without the look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

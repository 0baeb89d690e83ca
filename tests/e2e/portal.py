"""A company's portal: a reverse proxy under TLS, of both kinds, with an environment behind it at a path of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.integration.tlsengine import Authority

HOST, BASE = "portal.example", "/user/me@lab/env.1"
"""What a browser shows; it has to be told that the host is this machine."""


class Portal:
    """Listens on a port of 127.0.0.1 and forwards what lies below BASE to the port `to`. `strips`: it takes BASE away,
    asks by an address, names both in headers, and puts BASE before redirects, as jupyter-server-proxy does; else it changes
    nothing."""

    def __init__(self, folder: Path) -> None:
        certificate = Authority().folder(folder)
        self.to = 0
        self.urls: Mapping[str, str] = {}  # of the environment, as devenv prints them
        self.strips = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        self._loop = asyncio.new_event_loop()
        # In a thread of its own: the browser's library keeps the main thread's loop.
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def origin(self) -> str:
        """As browsers send it."""
        return f"https://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The environment's address."""
        return f"{self.origin}{BASE}"

    def close(self) -> None:
        """Stop listening, and end all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for writer in self._writers:
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # until the transports are closed

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> tuple[http.client.HTTPResponse, str]:
        """One request as a browser sends it, and the answer's body; of a WebSocket, the answer alone."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)
        with contextlib.closing(link):
            link.request(method, path, headers={"Host": f"{HOST}:{self.port}", **(headers or {})})
            answer = link.getresponse()
            body = "" if answer.status == 101 else answer.read().decode(errors="replace")
            answer.close()
            return answer, body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            there = await asyncio.open_connection("127.0.0.1", self.to)
            self._writers.add(there[1])
            try:
                there[1].write("\r\n".join([*self._forwarded(head), "", ""]).encode("latin-1"))
                ways = [
                    asyncio.ensure_future(_pipe(reader, there[1])),
                    asyncio.ensure_future(self._answer(there[0], writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait(ways[1:], timeout=20)
            finally:
                there[1].close()
                self._writers.discard(there[1])
        writer.close()
        self._writers.discard(writer)

    async def _answer(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await source.readuntil(b"\r\n\r\n")).decode("latin-1")
            if self.strips:
                head = head.replace("\r\nLocation: /", f"\r\nLocation: {BASE}/")
            target.write(head.encode("latin-1"))
        await _pipe(source, target)

    def _forwarded(self, head: str) -> Iterator[str]:
        """The head of a request, on its way to the environment. Each connection has one request."""
        request, *headers = head.strip().split("\r\n")
        method, target, version = request.split(" ")
        if self.strips:
            target = target.removeprefix(BASE) or "/"
        yield f"{method} {target} {version}"
        is_socket = "\r\nupgrade:" in head.lower()
        for header in headers:
            name = header.partition(":")[0].lower()
            if (name == "connection" and not is_socket) or (name == "host" and self.strips):
                continue
            yield header
        if not is_socket:
            yield "Connection: close"
        if self.strips:
            yield f"Host: 127.0.0.1:{self.to}"
            yield f"X-Forwarded-Host: {HOST}"
            yield f"X-Forwarded-Prefix: {BASE}"


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()

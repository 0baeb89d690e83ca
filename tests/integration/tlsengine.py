"""The machine's engine over TLS on TCP, for tests: certificates as an administrator makes them, and what stands before
its socket."""

from __future__ import annotations

import datetime as dt
import ipaddress
import select
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SOCKET = "/var/run/docker.sock"
_NOW = dt.datetime.now(dt.UTC)


class Authority:
    """A CA. `ca` is its certificate as a PEM."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
        made = self._builder(self._name, self._key, days=1).add_extension(x509.BasicConstraints(True, None), True)
        self.ca = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def folder(self, path: Path, *, days: int = 1) -> Path:
        """A folder as DOCKER_CERT_PATH names it, with a certificate for 127.0.0.1 that is good for that many days; one
        for client and server."""
        path.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = self._builder(x509.Name([]), key, days=days).add_extension(names, True)
        cert = made.sign(self._key, hashes.SHA256())
        (path / "ca.pem").write_bytes(self.ca)
        (path / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        (path / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int) -> x509.CertificateBuilder:
        since, until = _NOW - dt.timedelta(days=2), _NOW + dt.timedelta(days=days)
        return (
            x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)
        )  # fmt: skip


class Door:
    """Listens on a TCP port of 127.0.0.1, accepts clients with a certificate, and forwards to the engine's socket."""

    def __init__(self, folder: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._context.load_verify_locations(folder / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Accept no more clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                guest, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(guest,), daemon=True).start()

    def _pass(self, guest: socket.socket) -> None:
        try:
            with self._context.wrap_socket(guest, server_side=True) as tls, socket.socket(socket.AF_UNIX) as engine:
                engine.connect(_SOCKET)
                _both_ways(tls, engine)
        except OSError:
            guest.close()


def _both_ways(tls: ssl.SSLSocket, engine: socket.socket) -> None:
    """Until the engine hangs up. One thread: two may not use one TLS connection at once."""
    open_: list[socket.socket] = [tls, engine]
    while engine in open_:
        for source in select.select(open_, [], [])[0]:
            data = source.recv(65536)
            while source is tls and data and tls.pending():
                data += tls.recv(65536)
            if data:
                (engine if source is tls else tls).sendall(data)
            else:
                open_.remove(source)
                if source is tls:
                    engine.shutdown(socket.SHUT_WR)

"""Ports of this machine's loopback interface: whether one can be bound, and a free one."""

from __future__ import annotations

import http.client
import socket


def port_is_free(port: int) -> bool:
    """Whether this host's loopback port can be bound now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def any_free_port() -> int:
    """A loopback port that the kernel chooses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_answers(port: int, *, timeout_s: float = 5.0) -> bool:
    """Whether a program answers HTTP on this host's loopback port, whatever it says."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        link.request("GET", "/")
        link.getresponse().read(1)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
    return True

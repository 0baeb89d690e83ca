from __future__ import annotations

import socket

from devenv.doors.docker.held_stdin import Held


def test_a_held_command_reads_the_end_of_input_when_it_is_closed() -> None:
    here, there = socket.socketpair()
    with there:
        held = Held(here.makefile("rb", buffering=0))
        held.send(b"word\n")
        assert there.recv(64) == b"word\n"
        held.close()
        assert there.recv(64) == b""
    held.send(b"to nobody\n")
    held.wait(0.1)

"""An agent that starts only when another process has one too: a run that it ends was done by two at once."""

from __future__ import annotations

import os
import socket

from pipeline.agent.agent import Agent

PORT = "OFFHOOK_TEST_MEETING"  # the variable that says where they meet, on this machine
WAITS_S = 120.0


class Meeting(Agent):
    """Says who it is, and waits until it is told to go on."""

    async def on_enter(self) -> None:
        with socket.create_connection(("127.0.0.1", int(os.environ[PORT])), WAITS_S) as line:
            line.sendall(f"{os.getpid()}\n".encode())
            assert line.recv(16) == b"go on\n"
        self.session.say("Hello.")

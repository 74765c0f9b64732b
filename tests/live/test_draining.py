"""Signals to a server with a call on the line: what carriers, load balancers and new callers are told meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.server import REPOSITORY, CallFolder, Server, running_server
from tests.live.wire import Wire

BENCH = REPOSITORY / "tests" / "bench" / "plan.yaml"
AGENT = """
from pipeline.agent.agent import Agent

class Clerk(Agent):
    def __init__(self):
        super().__init__(instructions="Answer.")

    async def on_enter(self):
        self.session.say("{greeting}")
"""
PLAN = """
version: 1
name: Signals
defaults: {{stt: fake, llm: fake, tts: {{provider: fake, ms_per_char: 20}}}}
agents:
  clerk: {{python: "signalled_agent:Clerk"}}
  written: {{instructions: Answer., greeting: "{greeting}"}}
numbers:
  - {{number: "100", agent: clerk}}
  - {{number: "200", agent: written}}
"""


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 26000, 26998)) as phone:
        yield phone


async def _spoken(server: Server, folder: CallFolder, words: str) -> None:
    def heard() -> bool:
        return any(words in str(event.get("text")) for event in folder.of("AgentSpoke"))

    await server.until(heard, f"agent that says {words!r}", 20)


async def test_hangup_renews_code_and_plan_under_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP is `offhook reload`, and the plan is read again as well: the call goes on, new callers get both anew."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    plan, agent = tmp_path / "plan.yaml", tmp_path / "signalled_agent.py"
    plan.write_text(PLAN.format(greeting="An old plan."))
    agent.write_text(AGENT.format(greeting="Some old code."))
    settings = "plan_watch_s: 0\n"  # it is the signal that does it
    async with (
        running_server(tmp_path, dialplan=plan, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await _spoken(server, folder, "Some old code.")
            plan.write_text(PLAN.format(greeting="A new plan."))
            agent.write_text(AGENT.format(greeting="Some new code."))
            os.kill(server.pid, signal.SIGHUP)
            await server.until(lambda: bool(folder.of("CallHandedOver")), "handover", 30)
            await server.until_metric(lambda: _plans_in_use(server), lambda count: count >= 1, "plan", 20)
            await wire.until(50)
            assert wire.faults() == []
        for number, words in (("100", "Some new code."), ("200", "A new plan.")):
            other = await phone.dial(server.uri(number))
            await _spoken(server, await server.last_call(), words)
            other.hang_up()
            await other.ended()
        assert phone.live == (call,)
        call.hang_up()
        await call.ended()


async def _plans_in_use(server: Server) -> float:
    return (await server.metrics()).get('offhook_plan_changes_total{result="in_use"}', 0.0)


async def test_a_server_that_drains_logs_out_at_once_and_answers_options_with_503(tmp_path: Path) -> None:
    """No carrier (RFC 3261 §10.2.2) and no load balancer (§11) sends it another call, while one is still on."""
    async with _phone() as phone, a_registrar() as registrar:
        trunk = f'{{name: carrier, host: "127.0.0.1:{registrar.port}", register: true, user: bot}}'
        settings = f"drain_s: 60\ntrunks: [{trunk}]\n"
        async with running_server(tmp_path, dialplan=BENCH, settings=settings) as server:
            await registrar.until(lambda expires: expires > 0)
            assert await _options(server) == 200
            call = await phone.dial(server.uri())
            os.kill(server.pid, signal.SIGTERM)
            await registrar.until(lambda expires: expires == 0)
            assert await _options(server) == 503
            assert phone.live == (call,), "the call is not over for that"
            call.hang_up()
            async with asyncio.timeout(15):
                assert await server.process.wait() == 0


@dataclass(slots=True)
class Registrar(asyncio.DatagramProtocol):
    """A carrier that believes every login. expires: what was asked for, one REGISTER after the other."""

    expires: list[int] = field(default_factory=list)
    port: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)
    _transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.port = (
            cast(asyncio.DatagramTransport, transport),
            transport.get_extra_info("sockname")[1],
        )

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        text = data.decode()
        if not text.startswith("REGISTER") or self._transport is None:
            return
        lines = [line for line in text.splitlines() if re.match(r"(?i)(via|from|to|call-id|cseq):", line)]
        (contact,) = re.findall(r"(?im)^contact: *(.*?)\r?$", text)
        asked = re.search(r"expires=(\d+)", contact) or re.search(r"(?im)^expires: *(\d+)", text)
        assert asked is not None
        kept = [f"Contact: {contact}"] if int(asked[1]) else []
        answer = ["SIP/2.0 200 OK", *lines, *kept, f"Expires: {asked[1]}", "Content-Length: 0", "", ""]
        self._transport.sendto("\r\n".join(answer).encode(), addr)
        self.expires.append(int(asked[1]))
        self.came.set()

    async def until(self, wanted: Callable[[int], bool]) -> None:
        """Wait for a REGISTER of that kind."""
        async with asyncio.timeout(20):
            while not any(wanted(expires) for expires in self.expires):
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def a_registrar() -> AsyncIterator[Registrar]:
    loop = asyncio.get_running_loop()
    transport, registrar = await loop.create_datagram_endpoint(Registrar, ("127.0.0.1", 0))
    try:
        yield registrar
    finally:
        transport.close()


async def _options(server: Server) -> int:
    """The status that a load balancer's OPTIONS draws."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        port = sock.getsockname()[1]
        ask = [
            f"OPTIONS sip:127.0.0.1:{server.sip_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{os.urandom(8).hex()}",
            f"From: <sip:balancer@127.0.0.1:{port}>;tag=b",
            f"To: <sip:127.0.0.1:{server.sip_port}>",
            f"Call-ID: {os.urandom(8).hex()}",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 70",
            "Content-Length: 0",
            "",
            "",
        ]
        sock.sendto("\r\n".join(ask).encode(), ("127.0.0.1", server.sip_port))
        async with asyncio.timeout(10):
            answer = await loop.sock_recv(sock, 4096)
    return int(answer.split()[1])

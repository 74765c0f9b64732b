"""A caller who only wants to know what becomes of the INVITE: the final response as it came, and whether the server
hangs up. Own SIP on purpose, as caller_sip.py, whose messages it reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from tests.live.caller_sip import T1_S, Received
from tests.live.server import Server


@dataclass(slots=True, eq=False)
class Knock:
    """One call. final: the last response to the INVITE; over: the server has hung up."""

    call_id: str
    head: list[str]  # lines that all requests of the dialog have, but To
    target: str
    final: asyncio.Future[Received]
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def code(self) -> int:
        """Of the final response."""
        return self.final.result().code

    @property
    def contacts(self) -> list[str]:
        """The addresses of its Contact lines, in order, without parameters of the header."""
        lines = ",".join(self.final.result().headers.get("contact", []))
        return [part.partition("<")[2].partition(">")[0] for part in lines.split(",") if "<" in part]


class Knocker(asyncio.DatagramProtocol):
    """A socket that calls."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, Knock] = {}
        self._transport: asyncio.DatagramTransport
        self._host, self._port = "", 0
        self._numbers = count(1)

    @classmethod
    @asynccontextmanager
    async def at(cls, host: str = "127.0.0.1") -> AsyncIterator[Knocker]:
        """One that calls from that address. Calls that are on are hung up at the end."""
        loop = asyncio.get_running_loop()
        transport, knocker = await loop.create_datagram_endpoint(cls, local_addr=(host, 0))
        knocker._transport = transport
        knocker._host, knocker._port = transport.get_extra_info("sockname")[:2]
        try:
            yield knocker
        finally:
            for knock in list(knocker._calls.values()):
                if knock.final.done() and knock.code < 300:
                    knocker.hang_up(knock)
            transport.close()

    async def knock(
        self,
        server: Server,
        number: str,
        *,
        caller: str = "caller",
        headers: Mapping[str, str] | None = None,
        call_id: str = "",
    ) -> Knock:
        """Call, and wait for the final response, which is acknowledged."""
        host, port = self._host, self._port
        call_id = call_id or f"knock-{port}-{next(self._numbers)}"
        target = server.uri(number)
        head = [
            f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{call_id}BRANCH",
            f"From: <sip:{caller}@{host}>;tag={call_id}",
            f"Call-ID: {call_id}",
            "Max-Forwards: 70",
            f"Contact: <sip:{caller}@{host}:{port}>",
        ]
        knock = Knock(call_id, head, target, self._loop.create_future())
        self._calls[call_id] = knock
        media = port + 1 if port % 2 else port + 2
        sdp = f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {media} RTP/AVP 0\r\n"
        more = [f"{name}: {value}" for name, value in (headers or {}).items()]
        invite = self._request(
            knock, "INVITE", 1, f"<{target}>", [*more, "Content-Type: application/sdp"], sdp
        )
        wait_s = T1_S
        async with asyncio.timeout(20):
            while not knock.final.done():
                self._transport.sendto(invite, ("127.0.0.1", server.sip_port))
                await asyncio.wait({knock.final}, timeout=wait_s)
                wait_s *= 2
        return knock

    def hang_up(self, knock: Knock) -> None:
        """BYE; nobody waits for its answer."""
        self._calls.pop(knock.call_id, None)
        final = knock.final.result()
        bye = self._request(knock, "BYE", 2, final.headers["to"][0], [], "")
        self._transport.sendto(bye, self._peer(knock))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A response to an INVITE, or a request of the server."""
        message = Received.parse(data)
        knock = self._calls.get(message.call_id)
        if not message.code:
            if message.method != "ACK":
                self._transport.sendto(message.reply("200 OK"), addr)
            if message.method == "BYE" and knock is not None:
                knock.over.set()
                self._calls.pop(knock.call_id)
        elif knock is not None and message.method == "INVITE" and message.code >= 200:
            branch = "ACK" if message.code < 300 else "INVITE"  # RFC 3261 §13.2.2.4, §17.1.1.3
            ack = self._request(knock, "ACK", 1, message.headers["to"][0], [], "", branch)
            self._transport.sendto(ack, addr)
            if not knock.final.done():
                knock.final.set_result(message)

    def _peer(self, knock: Knock) -> tuple[str, int]:
        host, _, port = knock.target.partition("@")[2].partition(":")
        return host, int(port)

    def _request(
        self, knock: Knock, method: str, sequence: int, to: str, more: list[str], body: str, branch: str = ""
    ) -> bytes:
        lines = [f"{method} {knock.target} SIP/2.0", knock.head[0].replace("BRANCH", branch or method)]
        lines += [*knock.head[1:], f"To: {to}", f"CSeq: {sequence} {method}", *more]
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()

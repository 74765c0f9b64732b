"""A far side on TCP or TLS, written out by hand, for the tests of our streams."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.lexer import Framer, Ping
from telephony.sip.message import Request, Response
from telephony.trunk.tls import Tls

HOST = "127.0.0.1"
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


@asynccontextmanager
async def a_phone(host: str = HOST, *, tcp: bool = True, tls: Tls | None = None) -> AsyncIterator[Phone]:
    """Our phone, which does not wait long for goodbyes."""
    async with Phone(host=host, port=0, ports=PortPool(host, 24000, 24400), tcp=tcp, tls=tls) as phone:
        phone.goodbye_s = 0.5
        yield phone


class FarSide:
    """Connections to or from a phone, as the caller `far` with tag `f1`; says what the test tells it to."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Request | Response] = asyncio.Queue()
        self.raw = b""
        self.to = ""
        self.branches = 0
        self.lost = asyncio.Event()
        self.came = asyncio.Event()  # the phone opened a connection to us
        self.pinged = asyncio.Event()
        self.port = 0
        self.writer: asyncio.StreamWriter
        self._server: asyncio.Server
        self._readers: set[asyncio.Task[None]] = set()

    async def open(self, phone: Phone, secure: ssl.SSLContext | None = None) -> None:
        """Connect to the phone."""
        port = phone.tls_port if secure else phone.address[1]
        name = "localhost" if secure else None
        reader, self.writer = await asyncio.open_connection(HOST, port, ssl=secure, server_hostname=name)
        self.to = self.to or f"<sip:100@{HOST}:{port}>"
        self._read(reader)

    async def listen(self) -> None:
        """Take connections of the phone's."""
        self._server = await asyncio.start_server(self._opened, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._readers:
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if hasattr(self, "writer"):
            await self.hang_up()

    async def hang_up(self) -> None:
        """Close the connection, not the call."""
        self.writer.transport.abort()

    def request(self, method: str, number: int, *lines: str, body: str = "", call: str = "by-hand") -> bytes:
        """A request of ours as it goes on the wire."""
        self.branches += 1
        head = [
            f"{method} sip:100@{HOST} SIP/2.0",
            f"Via: SIP/2.0/TCP {HOST}:{self.port};branch=z9hG4bKfar{self.branches};rport",
            f"From: <sip:far@{HOST}>;tag=f1",
            f"To: {self.to}",
            f"Call-ID: {call}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:far@{HOST}:{self.port};transport=tcp>",
            "Max-Forwards: 70",
            *lines,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(head) + "\r\n\r\n" + body).encode()

    def out(self, data: bytes) -> None:
        self.writer.write(data)

    def reply(self, request: Request, status: int, body: str = "") -> None:
        response = Response.answering(request, status, to_tag="f1")
        response.add("Contact", f"<sip:far@{HOST}:{self.port};transport=tcp>")
        if body:
            response.add("Content-Type", "application/sdp")
            response.body = body.encode()
        self.out(response.encode())

    async def response(self, status: int) -> Response:
        """The next response with that status; others before it are passed over."""
        while True:
            message = await self.heard.get()
            if isinstance(message, Response) and message.status == status:
                self.to = message.get("To") or ""
                return message

    async def asked(self, method: str) -> Request:
        """The next request with that method."""
        while True:
            message = await self.heard.get()
            if isinstance(message, Request) and message.method == method:
                return message

    def _opened(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.came.set()
        self._read(reader)

    def _read(self, reader: asyncio.StreamReader) -> None:
        self.lost.clear()
        task = asyncio.create_task(self._follow(reader))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        framer = Framer()
        while data := await reader.read(65536):
            self.raw += data
            for item in framer.feed(data):
                if isinstance(item, Ping):
                    self.pinged.set()
                else:
                    self.heard.put_nowait(item)
        self.lost.set()


@asynccontextmanager
async def a_far_side() -> AsyncIterator[FarSide]:
    far = FarSide()
    await far.listen()
    try:
        yield far
    finally:
        await far.close()

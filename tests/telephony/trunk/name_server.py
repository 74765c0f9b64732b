"""A name server on loopback for the tests of where calls go: answers from a table, and counts the questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from telephony.trunk.dns import NameServers

HOST = "127.0.0.1"
Table = Mapping[str, Sequence[str]]  # "_sip._udp.example.com SRV" → ["10 20 5060 a.example.com."]


class NameServer(asyncio.DatagramProtocol):
    """Knows `table`, with that TTL, and says "no such name" to the rest. silent: says nothing."""

    def __init__(self, table: Table, ttl: int = 300, *, silent: bool = False) -> None:
        self.table: Table = table
        self.ttl = ttl
        self.silent = silent
        self.asked: list[str] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport

    @property
    def address(self) -> str:
        """As `sip.dns` names it."""
        return f"{HOST}:{self.port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        if self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = [(kind, one) for one in self.table.get(f"{name} {kind}", ())]
        found = found or [("CNAME", one) for one in self.table.get(f"{name} CNAME", ())]
        for one, text in found:
            response.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", one, text))
        if not found:
            soa = f"ns.{name}. root.{name}. 1 3600 600 86400 {self.ttl}"
            response.authority.append(dns.rrset.from_text(question.name, self.ttl, "IN", "SOA", soa))
            if not any(known.split()[0] == name for known in self.table):
                response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), addr)

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def a_name_server(
    table: Table, *, ttl: int = 300, silent: bool = False
) -> AsyncIterator[tuple[NameServer, NameServers]]:
    """The server, and ours that ask only it."""
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(
        lambda: NameServer(table, ttl, silent=silent), local_addr=(HOST, 0)
    )
    try:
        yield server, NameServers([server.address], patience_s=0.3 if silent else 2.0)
    finally:
        server.close()

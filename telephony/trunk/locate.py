"""From a URI to the addresses that a first request may go to, in order (RFC 3263, without NAPTR).

Driven by phone.py before a call. SRV records come from a lookup that is handed in; addresses from the event
loop's resolver, kept for a minute. Which answer is worth another target is here too."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from telephony.errors import CallFailed
from telephony.sip.transaction import Flow
from telephony.sip.uri import Uri

CACHE_S = 60.0
CACHE_NAMES = 1000
TRY_NEXT = frozenset({408, 503})  # RFC 3263 §4.3: the target failed, not the call

_SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str


SrvLookup = Callable[[str], Awaitable[Sequence[Srv]]]  # "_sip._udp.example.com" -> records, none if unknown


def worth_another(code: int, *, rang: bool) -> bool:
    """Try the next target after that final status: the one tried is dead or overloaded. A phone that rang and
    was not picked up is neither."""
    return code in TRY_NEXT and not rang


def in_order(records: Iterable[Srv], draw: Callable[[float, float], float]) -> list[Srv]:
    """Lower priority first; among equals by lot, heavier ones more often (RFC 2782). draw: random in a range."""
    ordered: list[Srv] = []
    left = sorted(records, key=lambda record: (record.priority, record.weight))
    while left:
        equals = [record for record in left if record.priority == left[0].priority]
        mark = draw(0.0, float(sum(record.weight for record in equals)))
        for chosen in equals:
            mark -= chosen.weight
            if mark <= 0:
                break
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


class Locator:
    """Finds targets, for a phone on IPv4 or on IPv6.

    srv: None to go by addresses only. transports: those spoken, in order of preference where the URI leaves
    the choice. draw: a random number in a range."""

    def __init__(
        self,
        *,
        v6: bool,
        transports: Sequence[str],
        draw: Callable[[float, float], float],
        srv: SrvLookup | None = None,
    ) -> None:
        self._family = socket.AF_INET6 if v6 else socket.AF_INET
        self._transports = transports
        self._draw = draw
        self._srv = srv
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def flows(self, uri: Uri) -> list[Flow]:
        """Where to send a first request, best first; never empty.

        Raises CallFailed: 416 for a scheme or transport that is not spoken, 503 for a name without address."""
        if uri.scheme not in ("sip", "sips") or not uri.host:
            raise CallFailed(f"{uri}: only sip:user@host and sips: can be dialled from here.", code=416)
        wanted = "tls" if uri.scheme == "sips" else uri.transport
        if wanted and wanted not in self._transports:
            raise CallFailed(
                f"{uri}: {wanted} is not spoken here, {', '.join(self._transports)} are. Turn sip.{wanted} on.",
                code=416,
            )
        if uri.port is None and not _is_address(uri.host):
            for transport in [wanted] if wanted else self._transports:
                if (transport != "tls" or wanted) and (found := await self._by_srv(transport, uri.host)):
                    return found
        return await self._at(wanted or "udp", uri.host, uri.address[1], uri.host)

    async def _by_srv(self, transport: str, domain: str) -> list[Flow]:
        if self._srv is None:
            return []
        try:
            records = await self._srv(f"{_SERVICES[transport]}.{domain}")
        except OSError:
            return []
        found: list[Flow] = []
        for record in in_order(records, self._draw):
            try:
                found += await self._at(transport, record.host.rstrip("."), record.port, domain)
            except CallFailed:
                continue
        return found

    async def _at(self, transport: str, host: str, port: int, name: str) -> list[Flow]:
        return [Flow(transport, (address, port), name=name) for address in await self._addresses(host)]

    async def _addresses(self, host: str) -> list[str]:
        if _is_address(host):
            return [host]
        loop = asyncio.get_running_loop()
        until, known = self._known.get(host.lower(), (0.0, []))
        if loop.time() < until:
            return known
        try:
            found = await loop.getaddrinfo(host, None, family=self._family, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise CallFailed(f"no host {host!r} ({error}). Check it.", code=503) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if len(self._known) >= CACHE_NAMES:
            self._known.clear()
        self._known[host.lower()] = loop.time() + CACHE_S, addresses
        return addresses


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

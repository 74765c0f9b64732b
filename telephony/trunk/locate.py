"""From a URI to the addresses that a first request may go to, in order (RFC 3263).

Driven by phone.py before a call. NAPTR and SRV records come from name servers that are handed in (dns.py);
addresses from them or from the event loop's resolver, kept for a minute. Which answer is worth another target is
here too."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from telephony.errors import CallFailed
from telephony.sip.transaction import Flow
from telephony.sip.uri import Uri

CACHE_S = 60.0
CACHE_NAMES = 1000
TRY_NEXT = frozenset({408, 503})  # RFC 3263 §4.3: the target failed, not the call

MAX_RECORDS = 20  # of one answer: whoever lists more does not mean us to try them all

_SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_NAPTR_SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """One NAPTR record (RFC 3403). service: "SIP+D2U" and the like. replacement: the SRV name, for flags "s"."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Names(Protocol):
    """What name servers know. Nothing is an empty answer; OSError means that nobody answered."""

    async def naptr(self, domain: str) -> Sequence[Naptr]:
        """The services of a domain."""

    async def srv(self, service: str) -> Sequence[Srv]:
        """The hosts of a service, "_sip._udp.example.com"."""

    async def addresses(self, host: str, *, v6: bool) -> Sequence[str]:
        """Addresses of a host; none if the system knows better."""


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
    """Finds targets, for a phone on IPv4, on IPv6 or on both.

    names: None to go by addresses of the system only. transports: those spoken, in order of preference where
    the URI leaves the choice. draw: a random number in a range."""

    def __init__(
        self,
        *,
        v4: bool = True,
        v6: bool,
        transports: Sequence[str],
        draw: Callable[[float, float], float],
        names: Names | None = None,
    ) -> None:
        self._v4, self._v6 = v4, v6
        self._transports = transports
        self._draw = draw
        self._names = names
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
            try:
                if found := await self._by_service(uri, wanted):
                    return found
            except OSError as error:  # the name servers are silent: its address may be known elsewhere
                log.warning("sip.services_unknown", domain=uri.host, error=str(error))
                return await self._at(wanted or "udp", uri.host, uri.address[1], uri.host, None)
        return await self._at(wanted or "udp", uri.host, uri.address[1], uri.host, self._names)

    async def all_flows(self, uri: Uri) -> list[Flow]:
        """`flows`, and the addresses of the host itself: a carrier may call from them. Raises CallFailed."""
        found = await self.flows(uri)
        with contextlib.suppress(CallFailed):
            found += await self._at("udp", uri.host, uri.address[1], uri.host, self._names)
        return found

    async def _by_service(self, uri: Uri, wanted: str) -> list[Flow]:
        """By NAPTR unless the URI names a transport, else by the SRV records of one transport after the other
        (RFC 3263 §4.1). Raises OSError if nobody answers."""
        if self._names is None:
            return []
        domain, found = uri.host, list[Flow]()
        takes = [wanted] if wanted else list(self._transports)
        services = [] if uri.transport else await self._names.naptr(domain)
        for record in sorted(services, key=lambda record: (record.order, record.preference))[:MAX_RECORDS]:
            transport = _NAPTR_SERVICES.get(record.service.upper(), "")
            if transport in takes and record.flags.lower() == "s":
                found += await self._by_srv(self._names, transport, record.replacement, domain)
        for transport in takes:
            if not found and (transport != "tls" or wanted):
                name = f"{_SERVICES[transport]}.{domain}"
                found += await self._by_srv(self._names, transport, name, domain)
        return list(dict.fromkeys(found))

    async def _by_srv(self, names: Names, transport: str, name: str, domain: str) -> list[Flow]:
        found: list[Flow] = []
        for record in in_order(await names.srv(name), self._draw)[:MAX_RECORDS]:
            try:
                if host := record.host.rstrip("."):  # "." says that there is no such service (RFC 2782)
                    found += await self._at(transport, host, record.port, domain, names)
            except CallFailed:
                continue
        return found

    async def _at(self, transport: str, host: str, port: int, name: str, names: Names | None) -> list[Flow]:
        addresses = await self._addresses(host, names)
        return [Flow(transport, (address, port), name=name) for address in addresses]

    async def _addresses(self, host: str, names: Names | None) -> list[str]:
        if _is_address(host):
            return [host]
        if names is not None and (found := await self._served(names, host)):
            return found
        loop = asyncio.get_running_loop()
        until, known = self._known.get(host.lower(), (0.0, []))
        if loop.time() < until:
            return known
        family = (
            socket.AF_UNSPEC if self._v4 and self._v6 else socket.AF_INET6 if self._v6 else socket.AF_INET
        )
        try:
            entries = await loop.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise CallFailed(f"no host {host!r} ({error}). Check it.", code=503) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        if len(self._known) >= CACHE_NAMES:
            self._known.clear()
        self._known[host.lower()] = loop.time() + CACHE_S, addresses
        return addresses

    async def _served(self, names: Names, host: str) -> list[str]:
        """What the name servers say; they keep it for as long as it is true."""
        try:
            families = [v6 for v6, spoken in ((False, self._v4), (True, self._v6)) if spoken]
            return [address for v6 in families for address in await names.addresses(host, v6=v6)]
        except OSError:
            return []


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""What the name servers say of a domain: NAPTR, SRV and address records (RFC 2782, RFC 3403, RFC 3263 §4).

Asked by locate.py before a call or a REGISTER. Answers are kept as long as their TTL says, by the loop's clock,
and so is the answer that there is nothing (RFC 2308). Not the order of targets: that is locate.py's."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
import structlog
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from telephony.errors import SipSyntaxError, TransportError
from telephony.sip.uri import split_host_port
from telephony.trunk.locate import Naptr, Srv

TRY_S = 1.0  # one question to one server
PATIENCE_S = 2.0  # for all servers; a caller is waiting
LONGEST_S = 3600.0  # what we believe of a TTL
NOTHING_S = 30.0  # "no such record" without an SOA that says how long
NOTHING_LONGEST_S = 300.0
SILENCE_S = 5.0  # servers that did not answer are not asked again within it
MAX_ANSWERS = 2000  # kept
MAX_CNAMES = 8

log = structlog.get_logger(__name__)

Record = A | AAAA | CNAME | NAPTR | SRV


class NameServers:
    """Asks the system's name servers, or those that are given: addresses, with :port if it is not 53.

    With servers of its own, addresses come from them as well, before the system is asked. patience_s: for all
    servers together. Raises TransportError for a server that is no address."""

    def __init__(self, servers: Sequence[str] = (), *, patience_s: float = PATIENCE_S) -> None:
        self._chosen = bool(servers)
        self._known: dict[tuple[str, str], tuple[float, tuple[Record, ...] | None]] = {}
        self._resolver = _resolver(servers, patience_s)

    async def naptr(self, domain: str) -> Sequence[Naptr]:
        """Its services in any order. Raises OSError if no server answers."""
        return [
            Naptr(
                record.order,
                record.preference,
                record.flags.decode("latin-1"),
                record.service.decode("latin-1"),
                record.replacement.to_text(omit_final_dot=True),
            )
            for record in await self._ask(domain, "NAPTR")
            if isinstance(record, NAPTR)
        ]

    async def srv(self, service: str) -> Sequence[Srv]:
        """Hosts of `_sip._udp.example.com`, in any order. Raises OSError if no server answers."""
        return [
            Srv(record.priority, record.weight, record.port, record.target.to_text(omit_final_dot=True))
            for record in await self._ask(service, "SRV")
            if isinstance(record, SRV)
        ]

    async def addresses(self, host: str, *, v6: bool) -> Sequence[str]:
        """Its IPv4 or IPv6 addresses; none if the system's own look-up should be asked: it knows /etc/hosts.

        Raises OSError if no server answers."""
        if not self._chosen:
            return []
        found = await self._ask(host, "AAAA" if v6 else "A")
        return [record.address for record in found if isinstance(record, A | AAAA)]

    # ---- inside

    async def _ask(self, name: str, kind: str) -> Sequence[Record]:
        loop = asyncio.get_running_loop()
        key = (name.lower().rstrip("."), kind)
        until, known = self._known.get(key, (0.0, ()))
        if loop.time() >= until:
            known, kept_s = await self._look_up(*key)
            if len(self._known) >= MAX_ANSWERS:
                self._known.clear()
            self._known[key] = loop.time() + kept_s, known
        if known is None:
            raise OSError(f"no name server answers for {kind} {name}")
        return known

    async def _look_up(self, name: str, kind: str) -> tuple[tuple[Record, ...] | None, float]:
        """The records, None if nobody answers, and how long to keep that, s."""
        if self._resolver is None:
            return (), LONGEST_S
        least = LONGEST_S
        try:
            for _ in range(MAX_CNAMES):
                answer = await self._resolver.resolve(
                    f"{name}.", kind, raise_on_no_answer=False, search=False
                )
                least = min(least, answer.chaining_result.minimum_ttl)
                if answer.rrset is not None:
                    return tuple(answer.rrset), least
                alias = answer.canonical_name.to_text(omit_final_dot=True).lower()
                if alias == name:
                    return (), _nothing_for(answer)
                name = alias  # a server that leaves the end of the chain to us
        except dns.resolver.NXDOMAIN as error:
            responses = error.kwargs["responses"].values()
            kept_s = min((one.resolve_chaining().minimum_ttl for one in responses), default=NOTHING_S)
            return (), min(kept_s, NOTHING_LONGEST_S)
        except (dns.exception.Timeout, dns.resolver.NoNameservers, OSError) as error:
            log.warning("dns.unanswered", name=name, kind=kind, error=str(error))
            return None, SILENCE_S
        except dns.exception.DNSException as error:  # no name that DNS could know
            log.info("dns.unanswerable", name=name, kind=kind, error=str(error))
        return (), NOTHING_S


def _nothing_for(answer: dns.resolver.Answer) -> float:
    soa = any(found.rdtype == dns.rdatatype.SOA for found in answer.response.authority)
    return min(answer.chaining_result.minimum_ttl if soa else NOTHING_S, NOTHING_LONGEST_S)


def _resolver(servers: Sequence[str], patience_s: float) -> dns.asyncresolver.Resolver | None:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration as error:
        log.warning("dns.none", error=str(error), remedy="name servers in sip.dns")
        return None
    if servers:
        resolver.nameservers = [_server(text) for text in servers]
    resolver.timeout, resolver.lifetime = min(TRY_S, patience_s), patience_s
    return resolver


def _server(text: str) -> dns.nameserver.Do53Nameserver:
    try:
        host, port = split_host_port(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
        ipaddress.ip_address(host)
    except (SipSyntaxError, ValueError) as error:
        raise TransportError(f"name server {text!r}: {error}. Give its address.") from error
    return dns.nameserver.Do53Nameserver(host, port or 53)

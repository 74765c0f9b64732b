"""Where a message may go: SRV order, addresses, and whom to call when a connection is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from telephony.errors import CallFailed
from telephony.sip.message import Request, Response
from telephony.sip.transaction import Flow
from telephony.sip.uri import Uri
from telephony.trunk.hops import hop_again
from telephony.trunk.locate import Locator, Naptr, Srv, in_order, worth_another

RECORDS = [Srv(20, 0, 5060, "127.0.0.3"), Srv(10, 10, 5062, "127.0.0.2."), Srv(10, 90, 5061, "127.0.0.1")]


def lowest(low: float, high: float) -> float:
    return low


def highest(low: float, high: float) -> float:
    return high


def test_lower_priority_goes_first_and_weight_decides_by_lot() -> None:
    """RFC 2782: among equals the heavier is drawn more often."""
    assert [record.port for record in in_order(RECORDS, highest)] == [5061, 5062, 5060]
    assert [record.port for record in in_order(RECORDS, lowest)] == [5062, 5061, 5060]
    draws = iter([5.0, 90.0, 0.0])
    assert [record.port for record in in_order(RECORDS, lambda low, high: next(draws))] == [5062, 5061, 5060]


@pytest.mark.parametrize(
    ("code", "rang", "next_one"),
    [(503, False, True), (408, False, True), (408, True, False), (486, False, False), (603, False, False)],
)
def test_only_dead_and_overloaded_targets_are_passed_over(code: int, rang: bool, next_one: bool) -> None:
    """Row 34, RFC 3263 §4.3. Nobody picking up is no fault of the target."""
    assert worth_another(code, rang=rang) is next_one


class Names:
    """Name servers that know one service, and perhaps what a domain offers."""

    def __init__(self, service: str, *services: Naptr) -> None:
        self.service = service
        self.services = services
        self.asked: list[str] = []

    async def naptr(self, domain: str) -> Sequence[Naptr]:
        return self.services

    async def srv(self, service: str) -> Sequence[Srv]:
        self.asked.append(service)
        return RECORDS if service == self.service else []

    async def addresses(self, host: str, *, v6: bool) -> Sequence[str]:
        return []


def locator(names: Names | None = None) -> Locator:
    return Locator(v6=False, transports=("udp", "tcp", "tls"), draw=highest, names=names)


async def flows(uri: str, names: Names | None = None) -> list[tuple[str, tuple[str, int]]]:
    return [(flow.transport, flow.remote) for flow in await locator(names).flows(Uri.parse(uri))]


async def test_a_domain_stands_for_its_srv_records_in_order() -> None:
    """Row 34, RFC 3263 §4.2; the certificate must still bear the domain (RFC 5922 §7.1)."""
    names = Names("_sip._tcp.example.com")
    wanted = [("tcp", ("127.0.0.1", 5061)), ("tcp", ("127.0.0.2", 5062)), ("tcp", ("127.0.0.3", 5060))]
    assert await flows("sip:100@example.com", names) == wanted
    assert names.asked == ["_sip._udp.example.com", "_sip._tcp.example.com"]
    secure = await locator(Names("_sips._tcp.example.com")).flows(Uri.parse("sips:100@example.com"))
    assert {flow.name for flow in secure} == {"example.com"}


async def test_an_address_or_a_port_is_not_looked_up() -> None:
    """RFC 3263 §4.2: nothing is left to find out."""
    names = Names("")
    assert await flows("sip:100@192.0.2.1", names) == [("udp", ("192.0.2.1", 5060))]
    assert await flows("sip:100@192.0.2.1;transport=tls", names) == [("tls", ("192.0.2.1", 5061))]
    assert await flows("sips:100@[2001:db8::1]:5071", names) == [("tls", ("2001:db8::1", 5071))]
    assert await flows("sip:100@localhost:5062;transport=tcp", names) == [("tcp", ("127.0.0.1", 5062))]
    assert names.asked == []


async def test_a_name_without_srv_records_is_an_address() -> None:
    """Most trunks have only an A record."""
    assert await flows("sip:100@localhost", Names("")) == [("udp", ("127.0.0.1", 5060))]


async def test_an_address_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of calls to one trunk is one question to the name server."""
    found, asked = locator(), list[str]()
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    def ask(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return real(host, *rest, **more)

    monkeypatch.setattr(loop, "getaddrinfo", ask)
    for _ in range(3):
        await found.flows(Uri.parse("sip:100@localhost"))
    assert len(asked) == 1


@pytest.mark.parametrize("uri", ["tel:+4930123", "sip:100@example.com;transport=sctp"])
async def test_what_is_not_spoken_is_refused_at_once(uri: str) -> None:
    """416, with what is."""
    with pytest.raises(CallFailed) as failed:
        await flows(uri)
    assert failed.value.code == 416


def bye(*headers: tuple[str, str]) -> Request:
    return Request("BYE", "sip:bob@192.0.2.7:5070;transport=tcp", headers)


GONE = Flow("tcp", ("203.0.113.9", 41234), 7)


def test_a_request_whose_connection_is_gone_follows_its_route_set() -> None:
    """Rows 13, 14, 37: first loose Route, else the Request-URI; never the source port of the old connection."""
    assert hop_again(bye(), GONE).remote == ("192.0.2.7", 5070)
    assert hop_again(bye(("Route", "<sip:192.0.2.1;lr>, <sip:192.0.2.2;lr>")), GONE).remote == (
        "192.0.2.1",
        5060,
    )
    assert hop_again(bye(("Route", "<sip:192.0.2.1>")), GONE).remote == ("192.0.2.7", 5070)
    wanted = Flow("tls", ("203.0.113.9", 5061), name="example.com")
    assert hop_again(bye(), wanted) is wanted


def test_a_response_whose_connection_is_gone_follows_its_via() -> None:
    """RFC 3261 §18.2.2; RFC 5118 §4.5: `received` may come in brackets."""
    via = ("Via", "SIP/2.0/TCP pc.example.com:5070;branch=z9hG4bK1;received=[2001:db8::9];rport=41234")
    assert hop_again(Response(200, headers=[via]), GONE).remote == ("2001:db8::9", 5070)
    named = ("Via", "SIP/2.0/TLS 192.0.2.4;branch=z9hG4bK1")
    gone = Flow("tls", ("192.0.2.4", 41234), 7)
    assert hop_again(Response(200, headers=[named]), gone).remote == ("192.0.2.4", 5061)
    assert hop_again(Response(200), GONE).remote == GONE.remote

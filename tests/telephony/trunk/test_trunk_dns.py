"""Where a call goes as real name servers say it, over UDP on loopback; and the next target when one is dead."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from telephony.errors import CallFailed, TransportError
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response
from telephony.sip.uri import Uri
from telephony.trunk.dns import NameServers
from telephony.trunk.locate import Locator, Naptr, Srv
from telephony.trunk.registrar_client import RegistrarClient
from telephony.trunk.registration import Account, Standing
from tests.telephony.trunk.name_server import HOST, a_name_server
from tests.telephony.trunk.wire import OFFER

CARRIER = {
    "carrier.test NAPTR": [
        '20 10 "s" "SIP+D2T" "" _sip._tcp.edge.carrier.test.',
        '10 20 "s" "SIP+D2U" "" _sip._udp.edge.carrier.test.',
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.edge.carrier.test.',
        '5 1 "u" "E2U+sip" "!^.*$!sip:info@carrier.test!" .',
    ],
    "_sips._tcp.edge.carrier.test SRV": ["1 0 5071 a.carrier.test."],
    "_sip._udp.edge.carrier.test SRV": ["2 0 5062 b.carrier.test.", "1 0 5060 a.carrier.test."],
    "_sip._tcp.edge.carrier.test SRV": ["1 0 5060 a.carrier.test."],
    "_sip._udp.plain.test SRV": ["1 0 5070 a.carrier.test."],
    "_sip._udp.none.test SRV": ["0 0 0 ."],
    "none.test A": ["192.0.2.7"],
    "a.carrier.test A": ["192.0.2.1"],
    "a.carrier.test AAAA": ["2001:db8::1"],
    "b.carrier.test CNAME": ["c.carrier.test."],
    "c.carrier.test A": ["192.0.2.3"],
}


async def flows(names: NameServers, uri: str, **families: bool) -> list[str]:
    spoken = {"v4": True, "v6": False, **families}
    locator = Locator(transports=("udp", "tcp", "tls"), draw=lambda low, high: low, names=names, **spoken)
    return [
        f"{flow.transport} {flow.remote[0]} {flow.remote[1]}" for flow in await locator.flows(Uri.parse(uri))
    ]


async def test_a_domain_says_which_transports_it_wants_and_where() -> None:
    """RFC 3263 §4.1, §4.2: NAPTR by order and preference, then SRV by priority, then addresses; a CNAME is
    followed."""
    async with a_name_server(CARRIER) as (_, names):
        assert await flows(names, "sip:100@carrier.test") == [
            "tls 192.0.2.1 5071",
            "udp 192.0.2.1 5060",
            "udp 192.0.2.3 5062",
            "tcp 192.0.2.1 5060",
        ]
        assert await flows(names, "sips:100@carrier.test") == ["tls 192.0.2.1 5071"]


async def test_a_domain_without_naptr_is_found_by_its_srv_records() -> None:
    """RFC 3263 §4.1: as most carriers have it; a transport in the URI needs no NAPTR."""
    async with a_name_server(CARRIER) as (server, names):
        assert await flows(names, "sip:100@plain.test") == ["udp 192.0.2.1 5070"]
        assert await flows(names, "sip:100@plain.test;transport=udp") == ["udp 192.0.2.1 5070"]
        assert server.asked.count("plain.test NAPTR") == 1


async def test_a_host_on_both_families_is_tried_on_both() -> None:
    """Row 39: IPv4 first, because it is what works."""
    async with a_name_server(CARRIER) as (_, names):
        both = await flows(names, "sip:100@plain.test", v6=True)
        assert both == ["udp 192.0.2.1 5070", "udp 2001:db8::1 5070"]
        assert await flows(names, "sip:100@plain.test", v4=False, v6=True) == ["udp 2001:db8::1 5070"]


async def test_a_service_that_is_declared_absent_leaves_the_address() -> None:
    """RFC 2782: the target "." means that there is no such service."""
    async with a_name_server(CARRIER) as (_, names):
        assert await flows(names, "sip:100@none.test") == ["udp 192.0.2.7 5060"]
        with pytest.raises(CallFailed, match="no host"):
            await flows(names, "sip:100@unknown.invalid")


async def test_answers_are_kept_as_long_as_they_say_and_so_is_no_answer() -> None:
    """RFC 2308: a burst of calls is one question; TTL 0 is asked every time."""
    async with a_name_server(CARRIER) as (server, names):
        for _ in range(3):
            assert await names.srv("_sip._udp.plain.test") == [Srv(1, 0, 5070, "a.carrier.test")]
            assert not await names.srv("_sip._tcp.plain.test") and not await names.naptr("plain.test")
        assert sorted(server.asked) == [
            "_sip._tcp.plain.test SRV",
            "_sip._udp.plain.test SRV",
            "plain.test NAPTR",
        ]
    async with a_name_server(CARRIER, ttl=0) as (server, names):
        for _ in range(3):
            await names.srv("_sip._udp.plain.test")
        assert len(server.asked) == 3


async def test_a_record_is_read_as_it_stands() -> None:
    async with a_name_server(CARRIER) as (_, names):
        assert Naptr(10, 20, "s", "SIP+D2U", "_sip._udp.edge.carrier.test") in await names.naptr(
            "carrier.test"
        )
        assert not await names.naptr("no..name") and not await names.srv("x" * 300)


async def test_name_servers_that_are_silent_cost_one_wait_and_no_call() -> None:
    """The next question within some seconds is not asked: a burst of calls must not wait one after the other."""
    async with a_name_server({}, silent=True) as (server, names):
        with pytest.raises(OSError, match="no name server answers for NAPTR localhost"):
            await names.naptr("localhost")
        asked = len(server.asked)
        assert await flows(names, "sip:100@localhost") == ["udp 127.0.0.1 5060"]
        assert [one for one in server.asked[asked:] if not one.endswith(" A")] == []


@pytest.mark.parametrize("server", ["ns.carrier.test", "192.0.2.1:port", ""])
def test_a_name_server_that_is_no_address_is_refused_at_start(server: str) -> None:
    with pytest.raises(TransportError, match="name server"):
        NameServers([server])


# ---- the next target (row 34)


class Target:
    """A bare UDP host: answers what it is told to, or nothing."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.heard: list[Request] = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((HOST, 0))
        self.port: int = self.sock.getsockname()[1]
        asyncio.get_running_loop().add_reader(self.sock, self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()

    def _readable(self) -> None:
        data, source = self.sock.recvfrom(65536)
        request = lex(data)
        assert isinstance(request, Request)
        self.heard.append(request)
        if self.status and request.method != "ACK":
            self.sock.sendto(self._answer(request).encode(), source)

    def _answer(self, request: Request) -> Response:
        response = Response.answering(request, 200 if request.method == "BYE" else self.status, to_tag="t")
        if request.method == "INVITE" and self.status == 200:
            response.add("Contact", f"<sip:{HOST}:{self.port}>").add("Content-Type", "application/sdp")
            response.body = OFFER.encode()
        return response


MakeTarget = Callable[[int], Target]


@pytest.fixture
async def a_target() -> AsyncIterator[MakeTarget]:
    made: list[Target] = []

    def make(status: int) -> Target:
        made.append(Target(status))
        return made[-1]

    yield make
    for target in made:
        target.close()


def records(*ports: int, transport: str = "udp") -> dict[str, list[str]]:
    """A domain whose targets are these ports of this machine, in order."""
    hosts = [f"{priority} 0 {port} here.trunk.test." for priority, port in enumerate(ports)]
    return {f"_sip._{transport}.trunk.test SRV": hosts, "here.trunk.test A": [HOST]}


def a_phone(names: NameServers) -> Phone:
    phone = Phone(host=HOST, port=0, ports=PortPool(HOST, 24000, 24400), names=names)
    phone.goodbye_s, phone.no_word_s = 0.2, 0.3
    return phone


@pytest.mark.parametrize("first", [0, 503, 408])
async def test_a_silent_or_overloaded_target_is_passed_over(a_target: MakeTarget, first: int) -> None:
    """Row 34, RFC 3263 §4.3: not after 32 s but as soon as it is clear that nobody is there."""
    dead, alive = a_target(first), a_target(200)
    async with (
        asyncio.timeout(10),
        a_name_server(records(dead.port, alive.port)) as (_, names),
        a_phone(names) as phone,
    ):
        call = await phone.dial("sip:100@trunk.test")
        assert call.source == (HOST, alive.port) and dead.heard[0].method == "INVITE"
        assert dead.heard[0].uri == alive.heard[0].uri == "sip:100@trunk.test"
        call.hang_up()


async def test_a_target_that_refuses_connections_is_passed_over_at_once(a_target: MakeTarget) -> None:
    """Row 34: TCP says so itself; the next transport of the domain serves."""
    alive = a_target(200)
    with socket.socket() as taken:
        taken.bind((HOST, 0))  # bound and not listening: refused
        table = records(taken.getsockname()[1], transport="tcp") | records(alive.port)
        table["trunk.test NAPTR"] = [
            '1 1 "s" "SIP+D2T" "" _sip._tcp.trunk.test.',
            '2 1 "s" "SIP+D2U" "" _sip._udp.trunk.test.',
        ]
        async with asyncio.timeout(10), a_name_server(table) as (_, names), a_phone(names) as phone:
            call = await phone.dial("sip:100@trunk.test")
            assert call.request.via.transport == "UDP"
            call.hang_up()


@pytest.mark.parametrize("status", [404, 486, 603])
async def test_a_refusal_is_the_call_s_and_not_the_target_s(a_target: MakeTarget, status: int) -> None:
    """Row 34: 4xx and 6xx end the call; the second target is not bothered."""
    refusing, other = a_target(status), a_target(200)
    async with (
        asyncio.timeout(10),
        a_name_server(records(refusing.port, other.port)) as (_, names),
        a_phone(names) as phone,
    ):
        with pytest.raises(CallFailed) as failed:
            await phone.dial("sip:100@trunk.test")
        assert failed.value.code == status and other.heard == []


async def test_a_registrar_that_moves_is_found_where_it_is_now(a_target: MakeTarget) -> None:
    """A carrier changes its address: the next REGISTER goes there, as soon as the old record has run out."""
    before, after = a_target(200), a_target(200)
    async with (
        asyncio.timeout(10),
        a_name_server(records(before.port), ttl=0) as (server, names),
        a_phone(names) as phone,
    ):
        registered = asyncio.Event()
        account = Account.at("bot", "trunk.test")
        client = RegistrarClient(phone, "carrier", account, None, told=lambda _, now: registered.set())
        running = asyncio.create_task(client.run())
        await registered.wait()
        assert await phone.addresses("sip:trunk.test") == [HOST]
        running.cancel()
        server.table = records(after.port)
        await client.leave()
        assert [one.expires for one in before.heard] == [3600] and [one.expires for one in after.heard] == [0]


async def test_a_trunk_registers_at_the_next_target_when_the_first_is_dead(a_target: MakeTarget) -> None:
    """Row 34 for REGISTER: within the first attempt, not after 32 s and a pause."""
    dead, alive = a_target(0), a_target(200)
    async with (
        asyncio.timeout(10),
        a_name_server(records(dead.port, alive.port)) as (_, names),
        a_phone(names) as phone,
    ):
        registered = asyncio.Event()
        account = Account.at("bot", "trunk.test")
        client = RegistrarClient(phone, "carrier", account, None, told=lambda _, now: registered.set())
        running = asyncio.create_task(client.run())
        await registered.wait()
        assert client.standing is Standing.IN and dead.heard and alive.heard[0].method == "REGISTER"
        running.cancel()

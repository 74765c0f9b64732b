"""Who may ring: the gate with a request, its source and a time."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from telephony.sip.digest import Credentials, Doorkeeper, Login
from telephony.sip.message import Request, Response
from telephony.sip.screening import Refusal, Vouched
from telephony.sip.transaction import Flow
from telephony.trunk.access import Access, Policy, Trunk

CARRIER = Trunk(
    "carrier", (ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32")), trusted=True
)
OFFICE = Trunk("office", (ipaddress.ip_network("203.0.113.64/28"),), trusted=False)
HOME = Trunk("home", (), Credentials("anna", "s3cret"), asks_login=True, trusted=False)
STRANGER = "198.51.100.9"


def a_gate(*trunks: Trunk, **policy: Any) -> Access:
    return Access(trunks, Policy(**policy), Doorkeeper("offhook", b"secret"), 0.0)


def knock(
    gate: Access, host: str, now: float = 0.0, method: str = "INVITE", agent: str = "Linphone/5"
) -> Vouched | Refusal | None:
    request = Request(method, "sip:100@offhook.example").add("User-Agent", agent)
    return gate.judge(request, Flow("udp", (host, 5060)), now)


@pytest.mark.parametrize(
    ("host", "trunk"),
    [
        ("203.0.113.9", "carrier"),
        ("203.0.113.70", "office"),  # the narrower network wins
        ("2001:db8::5", "carrier"),
        ("::ffff:203.0.113.9", "carrier"),  # IPv4 that came through an IPv6 socket
    ],
)
def test_a_trunk_is_known_by_its_address(host: str, trunk: str) -> None:
    """Row "many trunks: CIDR allowlist"."""
    verdict = knock(a_gate(CARRIER, OFFICE), host)
    assert verdict == Vouched(trunk, trusted=trunk == "carrier")


def test_the_addresses_that_a_trunk_s_name_stands_for_are_its_own() -> None:
    """Learned from DNS, and forgotten when the name points elsewhere."""
    gate = a_gate(replace(CARRIER, networks=()), strangers="drop")
    gate.learn("carrier", [STRANGER])
    assert knock(gate, STRANGER) == Vouched("carrier", True)
    gate.learn("carrier", ["192.0.2.77"])
    assert knock(gate, STRANGER) is None


@pytest.mark.parametrize(
    ("strangers", "public", "local"),
    [
        ("accept", Vouched(), Vouched()),
        ("lan", Refusal(403), Vouched()),
        ("reject", Refusal(403), Refusal(403)),
        ("drop", None, None),
    ],
)
def test_strangers_get_what_the_operator_decided(
    strangers: str, public: Vouched | Refusal | None, local: Vouched | Refusal | None
) -> None:
    """Row "anti-scanner: silent drop", or a plain rejection. What a stranger says of callers is not believed."""
    gate = a_gate(CARRIER, strangers=strangers)
    assert knock(gate, STRANGER) == public
    for host in ("127.0.0.1", "192.168.178.20", "10.1.2.3", "100.64.0.9", "::1", "fe80::1%eth0", "fd00::7"):
        assert knock(gate, host) == local


def test_the_code_of_a_refusal_is_the_operator_s() -> None:
    gate = a_gate(strangers="reject", stranger_code=480)
    assert knock(gate, STRANGER) == Refusal(480)


def test_a_scanner_is_ignored_at_once_and_for_a_while() -> None:
    """Row "anti-scanner: UA list": no word in answer, not even to its next request under another name."""
    gate = a_gate(strangers="accept", ban_s=600.0)
    assert knock(gate, STRANGER, 0.0, "OPTIONS", "friendly-scanner") is None
    assert knock(gate, STRANGER, 1.0, agent="Linphone/5") is None
    assert knock(gate, STRANGER, 601.0, agent="Linphone/5") == Vouched()
    assert gate.counters.banned == 1


def test_nobody_can_get_a_carrier_banned() -> None:
    """A UDP source is easily forged: what claims to come from a trunk is never taken for a scanner."""
    gate = a_gate(CARRIER, strangers="drop")
    assert knock(gate, "203.0.113.9", agent="sipvicious") == Vouched("carrier", True)
    assert knock(gate, "203.0.113.9") == Vouched("carrier", True)


def test_a_stranger_who_insists_is_not_even_refused_any_more() -> None:
    """Row "per-IP rate": refusals cost packets, and tell a scanner that somebody is here."""
    gate = a_gate(strangers="reject")
    verdicts = [knock(gate, STRANGER, 0.01 * n, "REGISTER") for n in range(30)]
    assert verdicts == [Refusal(403)] * 10 + [None] * 20
    assert knock(gate, "198.51.100.10", 0.3) == Refusal(403), "its neighbour is not meant"


def test_calls_over_the_rate_are_told_when_to_come_back() -> None:
    """Row "overload: 503 + Retry-After", per source and over all; an answer, for they are welcome otherwise."""
    gate = a_gate(CARRIER, OFFICE, per_second_source=2.0, per_second=3.0, retry_after_s=7)
    busy = Refusal(503, (("Retry-After", "7"),))
    assert [knock(gate, "203.0.113.9", 0.0) for _ in range(5)] == [Vouched("carrier", True)] * 4 + [busy]
    assert [knock(gate, "203.0.113.70", 0.0) for _ in range(3)] == [Vouched("office", False)] * 2 + [busy]
    assert knock(gate, "203.0.113.9", 0.0, "OPTIONS") == Vouched("carrier", True), "calls are counted only"
    assert knock(gate, "203.0.113.9", 1.0) == Vouched("carrier", True)


def test_a_phone_from_anywhere_proves_its_password() -> None:
    """Row "digest as UAS": 401, then in; its trunk is the one of that user."""
    gate = a_gate(CARRIER, HOME, strangers="drop")
    challenge = knock(gate, STRANGER)
    assert isinstance(challenge, Refusal) and challenge.status == 401
    assert knock(gate, STRANGER, method="OPTIONS") is None, "only a call is worth the question"
    assert proven(gate, challenge, "s3cret") == Vouched("home", False)
    assert proven(gate, challenge, "guess") == Refusal(403)
    late = proven(gate, challenge, "s3cret", now=100.0)
    assert isinstance(late, Refusal) and late.status == 401 and "stale=true" in late.headers[0][1]


def test_on_the_lan_a_password_is_not_asked_for_but_believed() -> None:
    """Strangers are welcome there: the login only says which trunk it is."""
    gate = a_gate(HOME, strangers="accept")
    assert knock(gate, STRANGER) == Vouched()
    challenge = Refusal(401, Doorkeeper("offhook", b"secret").challenge(STRANGER, 0.0))
    assert proven(gate, challenge, "s3cret") == Vouched("home", False)


def test_a_trunk_may_need_both_its_address_and_its_password() -> None:
    gate = a_gate(replace(HOME, networks=CARRIER.networks), strangers="drop")
    challenge = knock(gate, "203.0.113.9")
    assert isinstance(challenge, Refusal) and challenge.status == 401
    assert proven(gate, challenge, "s3cret", host="203.0.113.9") == Vouched("home", False)
    assert knock(gate, STRANGER) is None


def proven(
    gate: Access, challenge: Refusal, password: str, *, host: str = STRANGER, now: float = 0.5
) -> Vouched | Refusal | None:
    login = Login(Credentials("anna", password), lambda: "cn")
    assert login.challenged(Response(challenge.status, "", challenge.headers), set())
    request = Request("INVITE", "sip:100@offhook.example")
    login.authorize(request)
    return gate.judge(request, Flow("udp", (host, 5060)), now)


def test_what_happened_is_said_once_a_source() -> None:
    """A log that a scanner can fill hides what matters."""
    said: list[tuple[str, str]] = []
    policy = Policy(strangers="reject")
    gate = Access([], policy, Doorkeeper("o", b"s"), 0.0, lambda what, host: said.append((what, host)))
    for n in range(50):
        knock(gate, STRANGER, 0.01 * n)
    assert said == [("refused", STRANGER), ("banned", STRANGER)]

"""Provisional responses that must arrive (RFC 3262), in both roles, in virtual time; and a session that is too
short for the other side (RFC 4028)."""

from __future__ import annotations

import itertools
import random

import pytest

from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Asked, CallCame, CallerCancelled, PrackNeverCame, Replied
from telephony.sip.message import Request, Response
from telephony.sip.provisional import first_number
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up
from tests.telephony.sip.test_sip_stack import THEM, US, messages, news, sent, sleep, wire

SDP = "v=0\r\n"


def a_stack() -> Stack:
    words = (f"t{count}" for count in itertools.count(1))
    supported = frozenset({"timer", "100rel"})
    return Stack(Endpoint("198.51.100.1:5060", US, "Offhook", token=lambda: next(words), supported=supported))


class Caller:
    """Has sent an INVITE with these header lines; `stack` is on the called side."""

    def __init__(self, *lines: str, flow: Flow = THEM) -> None:
        self.stack, self.flow = a_stack(), flow
        came = news(self.stack.datagram(wire("INVITE", 1, *lines, body=SDP), flow, 0.0))[0]
        assert isinstance(came, CallCame)
        self.came, self.tag, self.pracks = came, came.leg[1], 1

    def rung(self, status: int, now: float = 0.0, body: bytes = b"") -> list[Action]:
        return self.stack.respond(self.came.invite, status, now, body=body)

    def prack(self, rack: str, now: float, body: str = "") -> list[Action]:
        """The actions that a PRACK causes, once the call has answered it with 200."""
        self.pracks += 1
        data = wire("PRACK", self.pracks, f"RAck: {rack}", to_tag=self.tag, body=body)
        actions = self.stack.datagram(data, self.flow, now)
        for event in news(actions):
            assert isinstance(event, Asked)
            actions += self.stack.respond(event.transaction, 200, now)
        return actions


def number(actions: list[Action]) -> int:
    """The RSeq of the reliable response among them."""
    (response,) = [message for message in messages(actions) if message.get("RSeq")]
    assert response.get("Require") == "100rel"
    return int(response.get("RSeq") or "")


def test_a_caller_who_requires_100rel_gets_a_180_until_it_says_prack() -> None:
    """Row 26, RFC 3262 §3: at T1 and then twice as late each time, numbered; PRACK has its 200 and ends it. The
    100 is never reliable."""
    caller = Caller("Require: 100rel")
    rseq = number(caller.rung(180))
    assert 1 <= rseq < 2**31
    repeats = [(at, sent([action])) for at, action in sleep(caller.stack, 8.0)]
    assert repeats == [
        (0.5, ["180 INVITE"]),
        (1.5, ["180 INVITE"]),
        (3.5, ["180 INVITE"]),
        (7.5, ["180 INVITE"]),
    ]
    assert sent(caller.prack(f"{rseq} 1 INVITE", 8.0)) == ["200 PRACK"]
    assert sleep(caller.stack, 60.0) == []


def test_a_reliable_18x_is_repeated_over_tcp_as_well() -> None:
    """RFC 3262 §3: its repeats are the called side's, not the transaction's: a proxy may lose it further on."""
    caller = Caller("Require: 100rel", flow=Flow("tcp", ("203.0.113.9", 5060), 1))
    caller.rung(180)
    assert [at for at, _ in sleep(caller.stack, 2.0)] == [0.5, 1.5]


@pytest.mark.parametrize(
    ("line", "body", "reliable"),
    [
        ("Supported: 100rel", b"", False),
        ("X-A: b", SDP.encode(), False),
        ("Supported: 100REL", SDP.encode(), True),
    ],
)
def test_a_caller_who_only_supports_it_gets_it_for_early_media(
    line: str, body: bytes, reliable: bool
) -> None:
    """Row 26: a ring may be lost, the answer to an offer may not."""
    actions = Caller(line).rung(183, body=body)
    assert [bool(message.get("RSeq")) for message in messages(actions)] == [reliable]


def test_the_second_18x_waits_for_the_prack_of_the_first() -> None:
    """Row 26, RFC 3262 §3: one at a time, RSeq strictly one higher."""
    caller = Caller("Require: 100rel")
    first = number(caller.rung(180))
    assert caller.rung(183, 0.1, SDP.encode()) == []
    actions = caller.prack(f"{first} 1 INVITE", 0.2)
    assert sent(actions) == ["200 PRACK", "183 INVITE"] and number(actions) == first + 1


@pytest.mark.parametrize("rack", ["{next} 1 INVITE", "{rseq} 2 INVITE", "{rseq} 1 UPDATE"])
def test_a_prack_for_what_was_never_said_is_481(rack: str) -> None:
    """Row 26, RFC 3262 §3; and the 18x goes on being repeated."""
    caller = Caller("Require: 100rel")
    rseq = number(caller.rung(180))
    assert sent(caller.prack(rack.format(rseq=rseq, next=rseq + 1), 0.1)) == ["481 PRACK"]
    assert sleep(caller.stack, 1.0)


@pytest.mark.parametrize("rack", ["", "x 1 INVITE", "5", "99999999999999 1 INVITE"])
def test_a_prack_that_cannot_be_read_is_400(rack: str) -> None:
    """Row 26: it costs nothing but itself."""
    caller = Caller("Require: 100rel")
    rseq = number(caller.rung(180))
    assert sent(caller.prack(rack, 0.1)) == ["400 PRACK"]
    assert sent(caller.prack(f"{rseq} 1 INVITE", 0.2)) == ["200 PRACK"]


def test_the_second_prack_for_the_same_18x_is_481_and_a_repeat_gets_its_200_again() -> None:
    """RFC 3262 §3: the repeat has the branch of the first."""
    caller = Caller("Require: 100rel")
    rseq = number(caller.rung(180))
    caller.prack(f"{rseq} 1 INVITE", 0.1)
    assert sent(caller.stack.datagram(wire("PRACK", 2, to_tag=caller.tag), THEM, 0.2)) == ["200 PRACK"]
    assert sent(caller.prack(f"{rseq} 1 INVITE", 0.3)) == ["481 PRACK"]


def test_the_200_waits_for_the_prack_of_a_description() -> None:
    """RFC 3262 §3, §5: the answer went in the 183; the 200 goes after its PRACK and brings none."""
    caller = Caller("Supported: 100rel")
    rseq = number(caller.rung(183, 0.0, SDP.encode()))
    assert caller.rung(200, 0.1, SDP.encode()) == []
    assert not caller.stack.agreed_early(caller.came.invite)
    actions = caller.prack(f"{rseq} 1 INVITE", 0.6)
    assert sent(actions) == ["200 PRACK", "200 INVITE"]
    ok = messages(actions)[1]
    assert (ok.body, ok.get("Content-Type")) == (b"", None)
    acked = wire("ACK", 1, to_tag=caller.tag, branch="z9hG4bKack")
    assert len(news(caller.stack.datagram(acked, THEM, 0.7))) == 1


def test_the_200_does_not_wait_for_the_prack_of_a_mere_ring() -> None:
    """RFC 3262 §3: repeats stop, a late PRACK is still known, and what waited behind the ring is dropped."""
    caller = Caller("Require: 100rel")
    rseq = number(caller.rung(180))
    caller.rung(183, 0.1, SDP.encode())
    answered = caller.rung(200, 0.2, SDP.encode())
    assert sent(answered) == ["200 INVITE"] and messages(answered)[0].body == SDP.encode()
    assert sent(caller.prack(f"{rseq} 1 INVITE", 0.3)) == ["200 PRACK"]
    repeats = [sent([action]) for _, action in sleep(caller.stack, 2.0)]
    assert repeats == [["200 INVITE"], ["200 INVITE"]]


def test_a_18x_that_is_never_acknowledged_ends_the_invite() -> None:
    """Row 26, RFC 3262 §3: a 5xx after 64·T1, once, and the call hears of it."""
    caller = Caller("Require: 100rel")
    caller.rung(180)
    log = [action for at, action in sleep(caller.stack, 32.0)]
    assert sent(log)[-1] == "504 INVITE"
    assert [type(event) for event in news(log)] == [PrackNeverCame]
    assert caller.stack.endpoint.dialogs == {}


def test_a_caller_who_cancels_while_the_200_waits_gets_487() -> None:
    """RFC 3261 §9.2: no final response has left yet."""
    caller = Caller("Supported: 100rel")
    caller.rung(183, 0.0, SDP.encode())
    caller.rung(200, 0.1)
    actions = caller.stack.datagram(wire("CANCEL", 1, branch="z9hG4bKINVITE1"), THEM, 0.2)
    assert sent(actions) == ["200 CANCEL", "487 INVITE"]
    assert [type(event) for event in news(actions)] == [CallerCancelled]


def test_a_re_invite_is_answered_without_a_reliable_18x() -> None:
    """RFC 3262 §3: it may be, but nothing rings twice; the 200 comes at once."""
    caller = Caller()
    caller.rung(200, 0.1, SDP.encode())
    caller.stack.datagram(wire("ACK", 1, to_tag=caller.tag, branch="z9hG4bKack"), THEM, 0.2)
    again = caller.stack.datagram(wire("INVITE", 2, "Require: 100rel", to_tag=caller.tag), THEM, 0.3)
    (asked,) = news(again)
    assert isinstance(asked, Asked)
    assert sent(caller.stack.respond(asked.transaction, 200, 0.4)) == ["200 INVITE"]


def test_without_100rel_a_caller_who_requires_it_is_told_so() -> None:
    """Rows 26, 27: 420 with Unsupported, as for everything else that we lack."""
    stack = a_stack()
    stack.endpoint.supported = frozenset({"timer"})
    (answer,) = messages(stack.datagram(wire("INVITE", 1, "Require: 100rel, precondition"), THEM, 0.0))
    assert isinstance(answer, Response)
    assert (answer.status, answer.get("Unsupported")) == (420, "100rel, precondition")


def test_the_first_number_leaves_room_to_count() -> None:
    """RFC 3262 §3: 1 to 2^31-1."""
    assert all(1 <= first_number(str(word)) < 2**31 for word in range(2000))


# ---- calling


class Callee:
    """Answers an INVITE of ours; `stack` is on the calling side."""

    def __init__(self, *headers: tuple[str, str], body: bytes = b"v=0\r\n") -> None:
        self.stack = a_stack()
        self.invite, actions = self.stack.invite(
            "sip:bob@203.0.113.9", US, THEM, 0.0, headers=headers, body=body
        )
        (request,) = messages(actions)
        assert isinstance(request, Request)
        self.request = request

    def says(
        self, status: int, tag: str, *lines: tuple[str, str], body: bytes = b"", now: float = 1.0
    ) -> list[Action]:
        response = Response.answering(self.request, status, to_tag=tag)
        response.add("Contact", f"<sip:bob-{tag}@203.0.113.77>")
        for name, value in lines:
            response.add(name, value)
        response.body = body
        return self.stack.receive(response, THEM, now)

    def rings(self, rseq: int | str, tag: str = "b1", status: int = 180, body: bytes = b"") -> list[Action]:
        """A reliable 18x."""
        return self.says(status, tag, ("Require", "100rel"), ("RSeq", str(rseq)), body=body)


def requests(actions: list[Action]) -> list[Request]:
    return [message for message in messages(actions) if isinstance(message, Request)]


def test_our_invite_says_that_we_do_100rel() -> None:
    """RFC 3262 §4."""
    assert "100rel" in Callee(("Supported", "timer")).request.values("Supported")


def test_a_reliable_18x_is_acknowledged_once_and_within_its_dialog() -> None:
    """Row 26, RFC 3262 §4: the next CSeq, to their Contact; the call hears it ring; a repeat is not
    acknowledged anew."""
    bob = Callee()
    actions = bob.rings(77)
    (prack,) = requests(actions)
    assert (prack.method, prack.get("RAck"), str(prack.cseq)) == ("PRACK", "77 1 INVITE", "2 PRACK")
    assert (prack.uri, prack.to_tag) == ("sip:bob-b1@203.0.113.77", "b1")
    assert [event.response.status for event in news(actions) if isinstance(event, Replied)] == [180]
    assert bob.rings(77) == []
    assert [request.get("RAck") for request in requests(bob.rings(78))] == ["78 1 INVITE"]


@pytest.mark.parametrize("rseq", [76, 79, 0])
def test_a_18x_out_of_order_is_neither_acknowledged_nor_heard(rseq: int) -> None:
    """Row 26, RFC 3262 §4."""
    bob = Callee()
    bob.rings(77)
    assert bob.rings(rseq) == []


def test_each_branch_of_a_fork_counts_for_itself() -> None:
    """Rows 24, 26: two phones ring, each numbers from where it likes."""
    bob = Callee()
    racks = [
        request.get("RAck")
        for rseq, tag in ((9, "b1"), (5, "b2"), (10, "b1"), (6, "b2"))
        for request in requests(bob.rings(rseq, tag))
    ]
    assert racks == ["9 1 INVITE", "5 1 INVITE", "10 1 INVITE", "6 1 INVITE"]


@pytest.mark.parametrize(
    "lines", [(("Require", "100rel"),), (("Require", "100rel"), ("RSeq", "one")), (("RSeq", "4"),)]
)
def test_a_18x_without_a_number_rings_all_the_same(lines: tuple[tuple[str, str], ...]) -> None:
    """Row 25: it cannot be acknowledged, but the phone over there does ring."""
    actions = Callee().says(180, "b1", *lines)
    assert requests(actions) == [] and len(news(actions)) == 1


def test_a_prack_that_is_lost_is_sent_again_and_its_failure_is_no_news() -> None:
    """RFC 3261 §17.1.2: PRACK has a transaction of its own; the INVITE decides what becomes of the call."""
    bob = Callee()
    (prack,) = requests(bob.rings(77))
    repeats = [action for at, action in sleep(bob.stack, 3.0) if sent([action]) == ["PRACK"]]
    assert len(repeats) == 2
    assert bob.stack.receive(Response.answering(prack, 481), THEM, 3.1) == []
    (answered,) = news(bob.says(200, "b1", now=4.0))
    assert isinstance(answered, Replied) and isinstance(answered.dialog, Dialog)
    (ack,) = requests(bob.stack.ack(bob.invite, answered.dialog))
    assert str(ack.cseq) == "1 ACK"  # the INVITE's number, not the PRACK's


def test_an_offer_in_a_reliable_18x_is_answered_in_its_prack() -> None:
    """RFC 3262 §5: our INVITE made no offer, so whoever dialled answers theirs."""
    bob = Callee(body=b"")
    actions = bob.rings(1, status=183, body=SDP.encode())
    assert requests(actions) == []
    (event,) = news(actions)
    assert isinstance(event, Replied) and event.dialog is not None
    _, said = bob.stack.prack(event.response, event.dialog, 1.1, b"v=0\r\n")
    (prack,) = requests(said)
    assert (prack.get("RAck"), prack.body) == ("1 1 INVITE", b"v=0\r\n")


# ---- a session that is too short for them


def again(actions: list[Action], method: str = "INVITE") -> Request:
    (request,) = [request for request in requests(actions) if request.method == method]
    return request


def test_a_422_is_met_with_a_longer_session() -> None:
    """RFC 4028 §7.3: the same call, CSeq one higher, both headers at their minimum; each proxy on the way may
    ask for more."""
    bob = Callee(("Session-Expires", "1800;refresher=uac"), ("Min-SE", "90"))
    second = again(bob.says(422, "b1", ("Min-SE", "3600")))
    assert (second.get("Session-Expires"), second.get("Min-SE")) == ("3600;refresher=uac", "3600")
    assert (second.call_id, second.from_tag, str(second.cseq)) == (
        bob.request.call_id,
        bob.request.from_tag,
        "2 INVITE",
    )
    assert second.via.branch != bob.request.via.branch and second.body == bob.request.body
    bob.request = second
    third = again(bob.says(422, "b2", ("Min-SE", "7200")))
    assert third.get("Min-SE") == "7200"
    bob.request = third
    (event,) = news(bob.says(200, "b3"))
    assert isinstance(event, Replied) and event.transaction is bob.invite


@pytest.mark.parametrize("minimum", ["90", "60", "999999999", "soon", None])
def test_a_422_that_asks_for_nothing_sensible_is_a_refusal(minimum: str | None) -> None:
    """No loop: what we gave already, more than a day, or no number at all."""
    bob = Callee(("Session-Expires", "1800"), ("Min-SE", "90"))
    actions = bob.says(422, "b1", *([("Min-SE", minimum)] if minimum else []))
    assert [request.method for request in requests(actions)] == ["ACK"]
    assert [event.response.status for event in news(actions) if isinstance(event, Replied)] == [422]


def test_422s_without_end_end_the_call() -> None:
    """A peer that always wants one second more gets three tries."""
    bob = Callee(("Session-Expires", "100"))
    for count in range(3):
        bob.request = again(bob.says(422, f"b{count}", ("Min-SE", str(200 + count))))
    actions = bob.says(422, "b9", ("Min-SE", "900"))
    assert [event.response.status for event in news(actions) if isinstance(event, Replied)] == [422]


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_refresh_that_is_too_short_for_them_is_sent_anew(method: str) -> None:
    """RFC 4028 §7.4: within the dialog, UPDATE and re-INVITE alike."""
    bob = Callee()
    (answered,) = news(bob.says(200, "b1"))
    assert isinstance(answered, Replied) and answered.dialog is not None
    bob.stack.ack(bob.invite, answered.dialog)
    asked, actions = bob.stack.ask(answered.dialog, method, 2.0, headers=(("Session-Expires", "1800"),))
    (first,) = requests(actions)
    refusal = Response.answering(first, 422).add("Min-SE", "4000")
    second = again(bob.stack.receive(refusal, THEM, 2.1), method)
    assert (second.get("Session-Expires"), str(second.cseq)) == ("4000", f"3 {method}")
    (event,) = news(bob.stack.receive(Response.answering(second, 200), THEM, 2.2))
    assert isinstance(event, Replied) and event.transaction is asked


def test_all_reliable_responses_are_forgotten_in_the_end() -> None:
    """No timer is left of a call whose 18x were reliable."""
    caller = Caller("Require: 100rel")
    rseq = number(caller.rung(183, 0.0, SDP.encode()))
    caller.prack(f"{rseq} 1 INVITE", 0.1)
    caller.rung(200, 0.2)
    caller.stack.datagram(wire("ACK", 1, to_tag=caller.tag, branch="z9hG4bKack"), THEM, 0.3)
    caller.stack.datagram(wire("BYE", 9, to_tag=caller.tag), THEM, 0.4)
    assert all(not isinstance(action, Send) for _, action in sleep(caller.stack, 100.0))
    assert caller.stack.next_deadline() is None


def test_a_thousand_mutated_pracks_and_18x_leave_the_stack_answering() -> None:
    """Whatever a byte or a cut makes of them: actions, never an exception, and the real ones still count."""
    dice = random.Random(3262)
    caller, bob = Caller("Require: 100rel"), Callee()
    rseq = number(caller.rung(183, 0.0, SDP.encode()))
    prack = wire("PRACK", 2, f"RAck: {rseq} 1 INVITE", to_tag=caller.tag)
    ringing = Response.answering(bob.request, 183, to_tag="b1").add("Require", "100rel").add("RSeq", 7)
    ringing.add("Contact", "<sip:bob@203.0.113.77>")
    for count in range(1000):
        for stack, seed in ((caller.stack, prack), (bob.stack, ringing.encode())):
            data = bytearray(seed)
            for _ in range(dice.randint(1, 4)):
                spot = dice.randrange(len(data))
                data[spot : spot + dice.randint(0, 3)] = dice.choice(
                    [b"", b"9", b";", b"<", b"\r\n", b"\xff"]
                )
            for action in stack.datagram(bytes(data), THEM, 1.0 + count / 1000):
                if isinstance(action, Send):
                    action.message.encode()
                elif isinstance(action, Up) and isinstance(action.event, Asked):
                    stack.respond(action.event.transaction, 200, 1.0)
    caller.pracks = 5000
    assert sent(caller.prack(f"{rseq} 1 INVITE", 2.5))[-1:] in (["200 PRACK"], ["481 PRACK"])
    assert requests(bob.rings(1, "b9"))

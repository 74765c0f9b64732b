"""The whole endpoint without a socket: datagrams in, actions out, in virtual time."""

from __future__ import annotations

import itertools
import random

import pytest

from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    AckNeverCame,
    Acknowledged,
    Asked,
    CallCame,
    CallerCancelled,
    PeerHungUp,
    Replied,
    Unanswered,
)
from telephony.sip.lexer import lex
from telephony.sip.message import Message, Request, Response
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up

THEM = Flow("udp", ("203.0.113.9", 5060))
US = "<sip:offhook@198.51.100.1:5060>"


def a_stack() -> Stack:
    words = (f"t{count}" for count in itertools.count(1))
    return Stack(Endpoint("198.51.100.1:5060", US, "Offhook", token=lambda: next(words)))


def wire(
    method: str = "INVITE",
    number: int = 1,
    *lines: str,
    to_tag: str = "",
    branch: str = "",
    cseq: str = "",
    body: str = "",
) -> bytes:
    """A request of the caller `ann`; every (method, number) has its own branch unless one is given."""
    head = [
        f"{method} sip:100@198.51.100.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 203.0.113.9;branch={branch or f'z9hG4bK{method}{number}'}",
        "From: <sip:ann@example.com>;tag=a1",
        f"To: <sip:100@198.51.100.1>{';tag=' + to_tag if to_tag else ''}",
        "Call-ID: c1",
        f"CSeq: {cseq or f'{number} {method}'}",
        "Contact: <sip:ann@203.0.113.9>",
        *lines,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def sent(actions: list[Action]) -> list[str]:
    """What leaves: `200 INVITE` for a response, `BYE` for a request."""
    shown = []
    for action in actions:
        if isinstance(action, Send) and isinstance(action.message, Response):
            shown.append(f"{action.message.status} {action.message.cseq.method}")
        elif isinstance(action, Send) and isinstance(action.message, Request):
            shown.append(action.message.method)
    return shown


def messages(actions: list[Action]) -> list[Request | Response]:
    """What leaves, as the peer would read it."""
    return [lex(action.message.encode()) for action in actions if isinstance(action, Send)]


def news(actions: list[Action]) -> list[object]:
    return [action.event for action in actions if isinstance(action, Up)]


def sleep(stack: Stack, until: float) -> list[tuple[float, Action]]:
    """Let virtual time pass."""
    log: list[tuple[float, Action]] = []
    while (deadline := stack.next_deadline()) is not None and deadline <= until:
        log += [(deadline, action) for action in stack.expire(deadline)]
    return log


def invited(stack: Stack) -> CallCame:
    came = news(stack.datagram(wire(), THEM, 0.0))[0]
    assert isinstance(came, CallCame)
    return came


def talking(stack: Stack) -> Dialog:
    """An inbound call, answered and acknowledged; our tag is the dialog's local_tag."""
    came = invited(stack)
    stack.respond(came.invite, 200, 0.1)
    stack.datagram(wire("ACK", 1, to_tag=came.leg[1], branch="z9hG4bKack"), THEM, 0.2)
    return came.dialog


# ---- being called


def test_an_invite_gets_100_at_once_and_becomes_one_call() -> None:
    """Rows 2, 3, RFC 3261 §17.2.1: 100 leaves before anybody decides; a repeat is answered and makes no
    second call."""
    stack = a_stack()
    first = stack.datagram(wire(), THEM, 0.0)
    assert sent(first) == ["100 INVITE"] and [type(event) for event in news(first)] == [CallCame]
    again = stack.datagram(wire(), THEM, 0.4)
    assert sent(again) == ["100 INVITE"] and news(again) == []
    assert stack.counters.retransmitted == 1


def test_the_tag_is_chosen_once_and_the_route_is_echoed() -> None:
    """Rows 12, 17, RFC 3261 §8.2.6.2, §12.1.1: the same To tag in 180 and 200, Record-Route as it came, our
    Contact."""
    stack = a_stack()
    proxy = "Record-Route: <sip:192.0.2.1;lr;r2=on>,<sip:192.0.2.2;lr;r2=on>"
    came = news(stack.datagram(wire("INVITE", 1, proxy), THEM, 0.0))[0]
    assert isinstance(came, CallCame)
    ringing, ok = messages([*stack.respond(came.invite, 180, 0.1), *stack.respond(came.invite, 200, 0.2)])
    assert ringing.to_tag == ok.to_tag == came.leg[1] != ""
    assert ok.record_routes == ["<sip:192.0.2.1;lr;r2=on>", "<sip:192.0.2.2;lr;r2=on>"]
    assert ok.get("Contact") == US and ok.get("Via") == ringing.get("Via")


def test_a_200_repeats_until_its_ack_comes() -> None:
    """Rows 1, 5, RFC 3261 §13.3.1.4: T1, 2·T1 …; the ACK has its own branch and is known by its dialog."""
    stack = a_stack()
    came = invited(stack)
    assert sent(stack.respond(came.invite, 200, 0.0)) == ["200 INVITE"]
    assert [(at, sent([action])) for at, action in sleep(stack, 2.0)] == [
        (0.5, ["200 INVITE"]),
        (1.5, ["200 INVITE"]),
    ]
    ack = wire("ACK", 1, to_tag=came.leg[1], branch="z9hG4bKack")
    assert [type(event) for event in news(stack.datagram(ack, THEM, 2.0))] == [Acknowledged]
    assert stack.datagram(ack, THEM, 2.1) == []
    assert sleep(stack, 60.0) == []


def test_an_ack_that_reuses_the_invites_branch_counts() -> None:
    """Row 5: some phones do not draw a new branch for the ACK of a 2xx."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 200, 0.0)
    ack = wire("ACK", 1, to_tag=came.leg[1], branch="z9hG4bKINVITE1")
    assert [type(event) for event in news(stack.datagram(ack, THEM, 0.1))] == [Acknowledged]


def test_a_repeated_invite_after_the_200_draws_the_200_again() -> None:
    """Row 2: our 200 was lost; once acknowledged, a late repeat is absorbed (RFC 6026 §7.1)."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 200, 0.0)
    assert sent(stack.datagram(wire(), THEM, 0.3)) == ["200 INVITE"]
    stack.datagram(wire("ACK", 1, to_tag=came.leg[1], branch="z9hG4bKack"), THEM, 0.4)
    assert stack.datagram(wire(), THEM, 0.5) == []


def test_without_an_ack_the_call_is_to_be_ended() -> None:
    """Row 1, RFC 3261 §13.3.1.4: after 64·T1 the call hears it, and may then send BYE."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 200, 0.0)
    log = sleep(stack, 40.0)
    assert [(at, event) for at, action in log for event in news([action])] == [
        (32.0, AckNeverCame(came.leg, came.dialog))
    ]
    assert sent(stack.ask(came.dialog, "BYE", 32.0)[1]) == ["BYE"]


def test_a_refusal_repeats_until_acknowledged_and_forgets_the_dialog() -> None:
    """Row 4, RFC 3261 §17.2.1."""
    stack = a_stack()
    came = invited(stack)
    assert sent(stack.respond(came.invite, 404, 0.0)) == ["404 INVITE"]
    assert [at for at, _ in sleep(stack, 2.0)] == [0.5, 1.5]
    assert stack.datagram(wire("ACK", 1, to_tag=came.leg[1], branch="z9hG4bKINVITE1"), THEM, 2.0) == []
    assert sleep(stack, 60.0) == []
    assert stack.endpoint.dialogs == {}


def test_cancel_ends_a_ringing_call() -> None:
    """Row 8, RFC 3261 §9.2: 200 to the CANCEL, 487 to the INVITE, one To tag in both; the answer comes too
    late."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 180, 0.1)
    actions = stack.datagram(wire("CANCEL", 1, branch="z9hG4bKINVITE1"), THEM, 1.0)
    assert sent(actions) == ["200 CANCEL", "487 INVITE"]
    assert {message.to_tag for message in messages(actions)} == {came.leg[1]}
    assert [type(event) for event in news(actions)] == [CallerCancelled]
    assert stack.respond(came.invite, 200, 1.1) == []
    assert sent(stack.datagram(wire("CANCEL", 1, branch="z9hG4bKINVITE1"), THEM, 1.5)) == ["200 CANCEL"]


def test_cancel_after_the_answer_changes_nothing() -> None:
    """Row 8, RFC 3261 §9.2: 200 to the CANCEL, and the call stays."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 200, 0.1)
    actions = stack.datagram(wire("CANCEL", 1, branch="z9hG4bKINVITE1"), THEM, 0.2)
    assert sent(actions) == ["200 CANCEL"] and news(actions) == []


def test_bye_is_answered_and_the_dialog_is_gone() -> None:
    """RFC 3261 §15.1.2; row 11: what comes for it afterwards is 481."""
    stack = a_stack()
    dialog = talking(stack)
    actions = stack.datagram(wire("BYE", 2, to_tag=dialog.local_tag), THEM, 1.0)
    assert sent(actions) == ["200 BYE"] and [type(event) for event in news(actions)] == [PeerHungUp]
    assert sent(stack.datagram(wire("BYE", 2, to_tag=dialog.local_tag), THEM, 1.5)) == ["200 BYE"]
    assert sent(stack.datagram(wire("INFO", 3, to_tag=dialog.local_tag), THEM, 2.0)) == ["481 INFO"]


def test_bye_before_the_ack_stops_the_repeats() -> None:
    """Row 10: a caller that hangs up at once leaves nothing that is sent for ever."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 200, 0.0)
    stack.datagram(wire("BYE", 2, to_tag=came.leg[1]), THEM, 0.1)
    assert sleep(stack, 60.0) == []


def test_bye_in_an_early_dialog_ends_the_invite_too() -> None:
    """Row 10, RFC 3261 §15.1.2: 200 to the BYE, 487 to the INVITE."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 180, 0.1)
    actions = stack.datagram(wire("BYE", 2, to_tag=came.leg[1]), THEM, 0.2)
    assert sent(actions) == ["200 BYE", "487 INVITE"] and [type(e) for e in news(actions)] == [PeerHungUp]


def test_bye_crossing_bye_is_answered_and_heard_once() -> None:
    """Row 10: we have hung up already, so theirs is 200 and no news."""
    stack = a_stack()
    dialog = talking(stack)
    stack.ask(dialog, "BYE", 1.0)
    actions = stack.datagram(wire("BYE", 2, to_tag=dialog.local_tag), THEM, 1.1)
    assert sent(actions) == ["200 BYE"] and news(actions) == []


def test_after_our_bye_only_theirs_is_still_answered() -> None:
    """RFC 3261 §15.1.1: the dialog is over; it is forgotten with the BYE's transaction."""
    stack = a_stack()
    dialog = talking(stack)
    stack.ask(dialog, "BYE", 1.0)
    assert sent(stack.datagram(wire("INFO", 2, to_tag=dialog.local_tag), THEM, 1.1)) == ["481 INFO"]
    sleep(stack, 60.0)
    assert stack.endpoint.dialogs == {}


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "UPDATE", "NOTIFY", "REFER"])
def test_a_request_for_a_dialog_that_we_do_not_have_is_481(method: str) -> None:
    """Row 11, RFC 3261 §12.2.2: an INVITE with a To tag is never a new call."""
    actions = a_stack().datagram(wire(method, 5, to_tag="gone"), THEM, 0.0)
    assert sent(actions) == [f"481 {method}"] and news(actions) == []


def test_an_older_request_is_500_and_a_jump_is_fine() -> None:
    """Row 18, RFC 3261 §12.2.2."""
    stack = a_stack()
    dialog = talking(stack)
    ahead = stack.datagram(wire("INFO", 90, to_tag=dialog.local_tag), THEM, 1.0)
    assert [type(event) for event in news(ahead)] == [Asked]
    assert sent(stack.datagram(wire("INFO", 89, to_tag=dialog.local_tag), THEM, 1.1)) == ["500 INFO"]


def test_a_second_invite_before_the_first_is_answered_is_told_to_wait() -> None:
    """Row 20, RFC 3261 §14.2: 500 with Retry-After of 0-10 s."""
    stack = a_stack()
    came = invited(stack)
    stack.respond(came.invite, 180, 0.1)
    (refusal,) = messages(stack.datagram(wire("INVITE", 2, to_tag=came.leg[1]), THEM, 0.2))
    assert isinstance(refusal, Response) and refusal.status == 500
    assert 0 <= int(refusal.get("Retry-After") or "-1") <= 10


def test_an_invite_against_ours_is_491() -> None:
    """Row 20, RFC 3261 §14.2 glare; once ours is answered theirs is heard."""
    stack = a_stack()
    dialog = talking(stack)
    asking, actions = stack.ask(dialog, "INVITE", 1.0)
    assert sent(stack.datagram(wire("INVITE", 2, to_tag=dialog.local_tag), THEM, 1.1)) == ["491 INVITE"]
    (ours,) = messages(actions)
    stack.receive(Response.answering(_request(ours), 491), THEM, 1.2)
    later = stack.datagram(wire("INVITE", 3, to_tag=dialog.local_tag), THEM, 1.3)
    assert sent(later) == ["100 INVITE"] and [type(event) for event in news(later)] == [Asked]


def test_a_merged_request_is_482() -> None:
    """RFC 3261 §8.2.2.2: the same INVITE over two proxies, with two branches, is one call."""
    stack = a_stack()
    invited(stack)
    actions = stack.datagram(wire(branch="z9hG4bKother"), THEM, 0.1)
    assert sent(actions) == ["482 INVITE"] and news(actions) == []


# ---- refused at the door


def test_an_unknown_method_is_405_with_allow() -> None:
    """Row 27, RFC 3261 §8.2.1."""
    (refusal,) = messages(a_stack().datagram(wire("PUBLISH"), THEM, 0.0))
    assert isinstance(refusal, Response) and refusal.status == 405
    assert "INVITE" in (refusal.get("Allow") or "")


def test_an_extension_that_we_lack_is_420() -> None:
    """Rows 26, 27, RFC 3261 §8.2.2.3: and Unsupported names it."""
    actions = a_stack().datagram(wire("INVITE", 1, "Require: 100rel, foo"), THEM, 0.0)
    (refusal,) = messages(actions)
    assert isinstance(refusal, Response) and refusal.status == 420 and news(actions) == []
    assert refusal.get("Unsupported") == "100rel, foo"


def test_an_unknown_body_is_415_and_a_foreign_scheme_416() -> None:
    """Row 27, RFC 3261 §8.2.3, §8.2.2.1."""
    body = wire("INVITE", 1, "Content-Type: application/pidf+xml", body="<x/>")
    assert sent(a_stack().datagram(body, THEM, 0.0)) == ["415 INVITE"]
    scheme = wire().replace(b"INVITE sip:100@198.51.100.1", b"INVITE http:100", 1)
    assert sent(a_stack().datagram(scheme, THEM, 0.0)) == ["416 INVITE"]


def test_options_is_answered_as_the_owner_says() -> None:
    """RFC 3261 §11.2: Allow and Accept; no dialog is needed."""
    stack = a_stack()
    (answer,) = messages(stack.datagram(wire("OPTIONS"), THEM, 0.0))
    assert isinstance(answer, Response) and answer.status == 200 and answer.get("Accept")
    stack.endpoint.options_status = lambda: 503
    assert sent(stack.datagram(wire("OPTIONS", 2), THEM, 0.1)) == ["503 OPTIONS"]


@pytest.mark.parametrize(
    ("broken", "answer"),
    [
        (wire(cseq="1 BYE"), ["400 INVITE"]),
        (wire(cseq="one INVITE"), ["400 INVITE"]),
        (wire().replace(b"Contact", b"X-Contact"), ["400 INVITE"]),
        (wire().replace(b"From: <sip:ann@example.com>;tag=a1", b"From: ;;;"), ["400 INVITE"]),
        (wire().replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), ["505 INVITE"]),
        (wire().replace(b"Content-Length: 0", b"Content-Length: 99"), ["400 INVITE"]),
        (wire().replace(b"Via: SIP/2.0/UDP 203.0.113.9", b"Via: nonsense"), []),
        (wire("ACK").replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), []),
        (b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\n\r\n", []),
        (b"\x80\x60\x00\x01" + bytes(160), []),
    ],
)
def test_what_cannot_be_read_is_refused_once_if_its_via_says_where(broken: bytes, answer: list[str]) -> None:
    """Rows 27, 36, RFC 3261 §8.2.7, §18.3: counted, never raised; no answer to ACK, response or noise."""
    stack = a_stack()
    actions = stack.datagram(broken, THEM, 0.0)
    shown = [
        f"{a.message.status} INVITE"
        for a in actions
        if isinstance(a, Send) and isinstance(a.message, Response)
    ]
    assert shown == answer and news(actions) == []
    assert stack.counters.malformed == 1


def test_a_keepalive_is_not_even_counted() -> None:
    """RFC 5626 §3.5.1."""
    stack = a_stack()
    assert stack.datagram(b"\r\n\r\n", THEM, 0.0) == [] and stack.counters.received == 0


def test_ten_thousand_mutated_datagrams_leave_the_stack_answering() -> None:
    """Whatever one byte, cut or swap makes of a message: actions or a count, never an exception."""
    stack, dice = a_stack(), random.Random(4711)
    dialog = talking(stack)
    _, actions = stack.ask(dialog, "INFO", 1.0)
    reply = Response.answering(_request(messages(actions)[0]), 200).encode()
    offer = (
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    )
    seeds = [
        wire("INVITE", 9, "Content-Type: application/sdp", "Require: x", body=offer, to_tag=dialog.local_tag),
        wire("INVITE", 8, "Record-Route: <sip:192.0.2.1;lr>", body=offer),
        wire("CANCEL", 8, branch="z9hG4bKINVITE8"),
        wire("BYE", 10, 'Reason: Q.850;cause=16;text="x"', to_tag=dialog.local_tag),
        reply,
    ]
    for count in range(10_000):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 6)):
            spot = dice.randrange(len(data))
            match dice.randrange(4):
                case 0:
                    data[spot] = dice.randrange(256)
                case 1:
                    del data[spot : spot + dice.randint(1, 40)]
                case 2:
                    data[spot:spot] = dice.choice(
                        [b";", b"<", b'"', b"\r\n", b":", b",", b"%", b"\xff", b"9" * 20]
                    )
                case _:
                    other = dice.choice(seeds)
                    data[spot : spot + 30] = other[: dice.randint(1, 60)]
            data = data or bytearray(b"x")
        for action in stack.datagram(bytes(data), THEM, count / 100):
            if isinstance(action, Send):
                action.message.encode()
            elif isinstance(action, Up) and isinstance(action.event, CallCame):
                stack.respond(action.event.invite, 486, count / 100)
            elif isinstance(action, Up) and isinstance(action.event, Asked):
                stack.respond(action.event.transaction, 488, count / 100)
        stack.expire(count / 100)
    assert sent(stack.datagram(wire("OPTIONS", 99), THEM, 200.0)) == ["200 OPTIONS"]


# ---- calling


def _request(message: Message) -> Request:
    assert isinstance(message, Request)
    return message


class Callee:
    """Answers an INVITE of ours by hand."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.invite, actions = stack.invite("sip:bob@203.0.113.9", US, THEM, 0.0)
        (sent_invite,) = messages(actions)
        self.request = _request(sent_invite)

    def says(self, status: int, tag: str = "b1", now: float = 1.0, *lines: tuple[str, str]) -> list[Action]:
        response = Response.answering(self.request, status, to_tag=tag)
        response.add("Contact", f"<sip:bob-{tag}@203.0.113.77>")
        for name, value in lines:
            response.add(name, value)
        return self.stack.receive(response, THEM, now)


def _replied(actions: list[Action]) -> Replied:
    (event,) = [event for event in news(actions) if isinstance(event, Replied)]
    return event


def test_an_answered_invite_is_acknowledged_along_the_route() -> None:
    """Row 6, RFC 3261 §13.2.2.4: to the Contact of the 200, over its routes, new branch; again for each
    repeat."""
    stack = a_stack()
    bob = Callee(stack)
    answered = _replied(bob.says(200, "b1", 1.0, ("Record-Route", "<sip:192.0.2.2;lr>")))
    assert answered.dialog is not None
    (action,) = stack.ack(bob.invite, answered.dialog)
    assert isinstance(action, Send) and action.flow.remote == ("192.0.2.2", 5060)
    ack = _request(action.message)
    assert ack.uri == "sip:bob-b1@203.0.113.77" and ack.all("Route") == ["<sip:192.0.2.2;lr>"]
    assert str(ack.cseq) == "1 ACK" and ack.via.branch != bob.request.via.branch
    assert bob.says(200, "b1", 1.5) == [action]


def test_a_fork_has_a_dialog_for_each_tag() -> None:
    """Row 24, RFC 3261 §13.2.2.4: two branches ring, both answer; each 200 comes up with a dialog of its
    own."""
    stack = a_stack()
    bob = Callee(stack)
    bob.says(180, "b1")
    bob.says(180, "b2")
    first, second = _replied(bob.says(200, "b2")).dialog, _replied(bob.says(200, "b1")).dialog
    assert first is not None and second is not None and first is not second
    assert (first.remote_tag, second.remote_tag) == ("b2", "b1")
    assert [sent(stack.ack(bob.invite, dialog)) for dialog in (first, second)] == [["ACK"], ["ACK"]]
    assert sent(stack.ask(second, "BYE", 2.0)[1]) == ["BYE"]


def test_a_refused_invite_leaves_no_dialog() -> None:
    """RFC 3261 §13.2.2.3: early dialogs end with the refusal; its ACK has left by itself."""
    stack = a_stack()
    bob = Callee(stack)
    bob.says(183, "b1")
    actions = bob.says(486, "b1")
    assert sent(actions) == ["ACK"] and _replied(actions).response.status == 486
    assert stack.endpoint.dialogs == {}


def test_a_183_without_tag_makes_no_dialog_and_no_trouble() -> None:
    """Row 25: and neither does a 199, nor a 180 after the 183."""
    stack = a_stack()
    bob = Callee(stack)
    assert _replied(bob.says(183, "")).dialog is None
    assert _replied(bob.says(180, "b1")).dialog is not None
    assert _replied(bob.says(199, "b1")).response.status == 199


def test_a_cancel_is_held_back_until_a_100_comes() -> None:
    """Row 9, RFC 3261 §9.1: then it leaves by itself; the 487 ends the call."""
    stack = a_stack()
    bob = Callee(stack)
    assert stack.cancel(bob.invite, 0.1) == []
    assert sent(bob.says(100, "", 0.2)) == ["CANCEL"]
    assert sent(bob.says(180, "b1", 0.3)) == []
    assert _replied(bob.says(487, "b1", 0.4)).response.status == 487


def test_nobody_there_is_408() -> None:
    """Row 31, RFC 3261 §8.1.3.1: timer B."""
    stack = a_stack()
    bob = Callee(stack)
    events = [event for _, action in sleep(stack, 40.0) for event in news([action])]
    assert [(e.transaction, e.code) for e in events if isinstance(e, Unanswered)] == [(bob.invite, 408)]


def test_a_message_that_the_socket_refuses_is_503() -> None:
    """RFC 3261 §8.1.3.1."""
    stack = a_stack()
    bob = Callee(stack)
    (event,) = news(stack.broken(bob.request, "no route to host", 0.1))
    assert isinstance(event, Unanswered) and (event.code, event.reason) == (503, "no route to host")


def test_a_response_that_nobody_asked_for_is_counted_and_dropped() -> None:
    """RFC 3261 §18.1.2."""
    stack = a_stack()
    stray = Response.answering(_request(lex(wire())), 200)
    assert stack.receive(stray, THEM, 0.0) == [] and stack.counters.stray == 1


def test_everything_is_forgotten_in_the_end() -> None:
    """A thousand calls later there is no transaction, dialog, caller or timer left."""
    stack = a_stack()
    for count in range(200):
        base = f"z9hG4bK-{count}-"
        data = wire(branch=base + "i").replace(b"Call-ID: c1", f"Call-ID: c{count}".encode())
        came = news(stack.datagram(data, THEM, float(count)))[0]
        assert isinstance(came, CallCame)
        stack.respond(came.invite, 200, count + 0.1)
        for method, number in (("ACK", 1), ("BYE", 2)):
            data = wire(method, number, to_tag=came.leg[1], branch=base + method)
            stack.datagram(data.replace(b"Call-ID: c1", f"Call-ID: c{count}".encode()), THEM, count + 0.2)
    sleep(stack, 1000.0)
    uas = stack._uas
    assert (uas._transactions, uas._waiting, uas._callers, stack.endpoint.dialogs) == ({}, {}, {}, {})
    assert stack.next_deadline() is None and stack.pending == 0

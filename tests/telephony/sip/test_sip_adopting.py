"""A stack goes on with the dialogs and INVITEs of one that died, in virtual time."""

from __future__ import annotations

import json

import pytest

from telephony.sip.dialog import PASSED_OVER, Dialog
from telephony.sip.events import Acknowledged, CallCame, CallerCancelled
from telephony.sip.message import Request, Response
from telephony.sip.server_transaction import InviteServer
from telephony.sip.stack import Stack
from telephony.sip.transaction import Flow
from tests.telephony.sip.test_sip_stack import (
    THEM,
    a_stack,
    invited,
    messages,
    news,
    sent,
    sleep,
    talking,
    wire,
)


def adopted(old: Stack, came: CallCame, now: float = 1.0) -> tuple[Stack, InviteServer]:
    """What goes over to the next stack went through JSON."""
    saved = json.loads(json.dumps({"dialog": came.dialog.snapshot(), "invite": old.snapshot(came.invite)}))
    stack = a_stack()
    dialog = Dialog.restore(saved["dialog"])
    dialog.outlived()
    invite = stack.adopt(dialog, saved["invite"], now)
    assert invite is not None
    return stack, invite


def test_a_200_that_has_no_ack_is_repeated_by_the_next_stack() -> None:
    """RFC 3261 §13.3.1.4, whoever sent it first; the ACK stops it."""
    old = a_stack()
    came = invited(old)
    first = messages(old.respond(came.invite, 200, 0.1, body=b"v=0"))
    stack, _ = adopted(old, came)
    log = sleep(stack, 3.0)
    assert [at for at, _ in log] == [1.5, 2.5]
    assert [message.encode() for message in messages([action for _, action in log])] == [
        first[0].encode()
    ] * 2
    ack = wire("ACK", 1, to_tag=came.leg[1], branch="z9hG4bKack")
    assert [type(event) for event in news(stack.datagram(ack, THEM, 3.1))] == [Acknowledged]
    assert sleep(stack, 20.0) == []


def test_a_repeated_invite_is_known_to_the_next_stack() -> None:
    """It makes no second call, before the answer and after it."""
    old = a_stack()
    came = invited(old)
    old.respond(came.invite, 180, 0.1)
    stack, invite = adopted(old, came)
    assert sent(stack.datagram(wire(), THEM, 1.1)) == ["180 INVITE"]
    assert sent(stack.respond(invite, 200, 1.2)) == ["200 INVITE"]
    assert sent(stack.datagram(wire(), THEM, 1.3)) == ["200 INVITE"]


def test_a_caller_who_gives_up_is_heard_by_the_next_stack() -> None:
    old = a_stack()
    came = invited(old)
    old.respond(came.invite, 180, 0.1)
    stack, _ = adopted(old, came)
    cancel = stack.datagram(wire("CANCEL", 1, branch="z9hG4bKINVITE1"), THEM, 1.1)
    assert sent(cancel) == ["200 CANCEL", "487 INVITE"]
    assert [type(event) for event in news(cancel)] == [CallerCancelled]


def test_a_18x_that_waits_for_its_prack_is_told_apart() -> None:
    """Whoever goes on has to refuse the call: the number of that 18x is known to nobody."""
    old = Stack(a_stack().endpoint)
    old.endpoint.supported = frozenset({"100rel"})
    (came,) = (
        event
        for event in news(old.datagram(wire("INVITE", 1, "Require: 100rel"), THEM, 0.0))
        if isinstance(event, CallCame)
    )
    old.respond(came.invite, 180, 0.1)
    saved = old.snapshot(came.invite)
    assert saved["reliable"]["waits"]
    stack, invite = adopted(old, came)
    assert sent(stack.respond(invite, 500, 1.1)) == ["500 INVITE"]


def test_a_200_to_a_re_invite_of_the_dead_stack_gets_its_ack() -> None:
    """RFC 3261 §14.2: without one they would end the call."""
    old = a_stack()
    dialog = talking(old)
    transaction, _ = old.ask(dialog, "INVITE", 1.0, body=b"v=0")
    answer = Response.answering(transaction.request, 200)
    stack = a_stack()
    stack.adopt(Dialog.restore(json.loads(json.dumps(dialog.snapshot()))), None, 2.0)
    (ack,) = messages(stack.receive(answer, THEM, 2.1))
    assert isinstance(ack, Request) and ack.method == "ACK"
    assert ack.cseq.number == transaction.request.cseq.number
    stranger = Response(
        200, headers=[(name, value.replace("tag=a1", "tag=zz")) for name, value in answer.headers]
    )
    assert stack.receive(stranger, THEM, 2.2) == []


@pytest.mark.parametrize("routes", [(), ("<sip:192.0.2.2;lr>",)])
def test_a_dialog_that_outlives_its_process_counts_on_and_finds_another_connection(
    routes: tuple[str, ...],
) -> None:
    """Sequence numbers may have gaps (§12.2.1.1). The connection is gone: their Contact is where they listen."""
    dialog = talking(a_stack())
    dialog.flow, dialog.routes = Flow("tcp", ("203.0.113.9", 41234), 7), routes
    before = dialog.request("INFO").cseq.number
    dialog.outlived()
    assert dialog.request("INFO").cseq.number == before + PASSED_OVER + 1
    hop = dialog.next_flow()
    assert hop.connection == 0
    assert hop.remote == (("192.0.2.2", 5060) if routes else ("203.0.113.9", 5060))

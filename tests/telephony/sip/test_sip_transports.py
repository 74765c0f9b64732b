"""What the stack says of transports, without a socket: Via, Contact, size, connections that are gone."""

from __future__ import annotations

import itertools

import pytest

from telephony.sip.client_transaction import ClientTransaction
from telephony.sip.endpoint import UDP_LIMIT_BYTES, Endpoint, Home
from telephony.sip.events import CallCame, Unanswered
from telephony.sip.message import Request, Response
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up

UDP = Flow("udp", ("203.0.113.9", 5060))
TCP = Flow("tcp", ("203.0.113.9", 5060))
TLS_IN = Flow("tls", ("203.0.113.9", 41234), 3)
HERE = "198.51.100.1:5060"
ME = "<sip:offhook@198.51.100.1:5060>"


def a_stack(*, tcp: bool = True) -> Stack:
    words = (f"t{count}" for count in itertools.count(1))
    homes = {
        "tcp": Home(HERE, f"{ME[:-1]};transport=tcp>"),
        "tls": Home("198.51.100.1:5061", "<sip:offhook@198.51.100.1:5061;transport=tls>"),
    }
    return Stack(Endpoint(HERE, ME, "Offhook", token=lambda: next(words), homes=homes, tcp=tcp))


def sends(actions: list[Action]) -> list[Send]:
    return [action for action in actions if isinstance(action, Send)]


def dialled(stack: Stack, flow: Flow, size: int = 0) -> tuple[ClientTransaction, Send]:
    """An INVITE with a header of that size."""
    transaction, actions = stack.invite(
        "sip:bob@203.0.113.9", ME, flow, 0.0, headers=[("X-Long", "x" * size)]
    )
    return transaction, sends(actions)[0]


def test_via_and_contact_name_the_transport() -> None:
    """Row 16: the peer must be able to come back the way we came."""
    _, send = dialled(a_stack(), TCP)
    assert (send.message.via.transport, send.message.get("Contact")) == ("TCP", f"{ME[:-1]};transport=tcp>")
    _, send = dialled(a_stack(), UDP)
    assert (send.message.via.transport, send.message.get("Contact")) == ("UDP", ME)


@pytest.mark.parametrize(
    ("uri", "contact"),
    [
        ("sip:100@198.51.100.1", "<sip:offhook@198.51.100.1:5061;transport=tls>"),
        ("sips:100@198.51.100.1", "<sips:offhook@198.51.100.1:5061>"),
    ],
)
def test_our_contact_follows_the_socket_of_the_invite(uri: str, contact: str) -> None:
    """Row 16, RFC 3261 §12.1.1: in the 200 and in our later requests; sips is answered with sips."""
    stack = a_stack()
    lines = [
        ("Via", "SIP/2.0/TLS 203.0.113.9;branch=z9hG4bK1"),
        ("From", "<sip:ann@example.com>;tag=a1"),
        ("To", f"<{uri}>"),
        ("Call-ID", "c1"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:ann@203.0.113.9;transport=tls>"),
    ]
    actions = stack.receive(Request("INVITE", uri, lines), TLS_IN, 0.0)
    came = next(action.event for action in actions if isinstance(action, Up))
    assert isinstance(came, CallCame)
    ok = sends(stack.respond(came.invite, 200, 0.1))[0]
    assert (ok.flow, ok.message.get("Contact")) == (TLS_IN, contact)
    _, info = stack.ask(came.dialog, "INFO", 1.0)
    assert (sends(info)[0].flow, sends(info)[0].message.get("Contact")) == (TLS_IN, contact)


def test_a_request_above_1300_bytes_takes_tcp_and_is_not_repeated() -> None:
    """Row 38, RFC 3261 §18.1.1, on the byte."""
    room = UDP_LIMIT_BYTES - len(dialled(a_stack(), UDP)[1].message.encode())
    assert dialled(a_stack(), UDP, room)[1].flow == UDP
    stack = a_stack()
    transaction, send = dialled(stack, UDP, room + 1)
    assert (send.flow, send.message.via.transport) == (TCP, "TCP")
    assert transaction.next_deadline() == 32.0  # timer B, no timer A


def test_where_tcp_is_refused_the_same_request_goes_by_udp_once() -> None:
    """Row 38: one transaction to the call, whatever carried it; the second refusal is the end."""
    stack = a_stack()
    transaction, send = dialled(stack, UDP, 1300)
    assert isinstance(send.message, Request)
    again = sends(stack.broken(send.message, "refused", 0.1))[0]
    assert (again.flow, again.message.via.transport) == (UDP, "UDP")
    assert stack.next_deadline() == pytest.approx(0.6)  # timer A, for now it may be lost
    busy = Response.answering(send.message, 486, to_tag="b1")
    assert [type(action) for action in stack.receive(busy, UDP, 0.2)][0] is Send  # the ACK
    assert transaction.request is send.message

    stack = a_stack(tcp=False)
    _, send = dialled(stack, UDP, 1300)
    assert isinstance(send.message, Request)
    gone = [action.event for action in stack.broken(send.message, "no TCP", 0.1) if isinstance(action, Up)]
    assert [(event.code, event.reason) for event in gone if isinstance(event, Unanswered)] == [
        (503, "no TCP")
    ]


def test_a_request_lost_with_its_connection_is_sent_again_only_while_nothing_answered() -> None:
    """Row 37: after a 1xx the far side has it, and will answer on a connection of its own."""
    stack = a_stack()
    _, send = dialled(stack, TCP)
    assert isinstance(send.message, Request)
    assert [again.message for again in sends(stack.lost(send.message, "closed", 0.1))] == [send.message]
    stack.receive(Response.answering(send.message, 180, to_tag="b1"), TCP, 0.2)
    assert stack.lost(send.message, "closed", 0.3) == []

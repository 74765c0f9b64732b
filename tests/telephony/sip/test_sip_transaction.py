"""The four transactions and the 2xx that repeats, in virtual time."""

from __future__ import annotations

import pytest

from telephony.sip.client_transaction import ClientTransaction, InviteClient, RequestClient
from telephony.sip.message import Message, Request, Response
from telephony.sip.server_transaction import AwaitAck, InviteServer, RequestServer
from telephony.sip.transaction import (
    AckMissing,
    Action,
    Done,
    Flow,
    FlowBroke,
    Machine,
    ResponseCame,
    Send,
    TimedOut,
    Up,
    reply_flow,
    server_key,
)

UDP = Flow("udp", ("192.0.2.9", 5060))
TCP = Flow("tcp", ("192.0.2.9", 5060), 7)


def request(method: str = "INVITE", *, via: str = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKone") -> Request:
    lines = [
        ("Via", via),
        ("Route", "<sip:192.0.2.9;lr>"),
        ("From", "<sip:a@192.0.2.1>;tag=a1"),
        ("To", "<sip:b@192.0.2.9>"),
        ("Call-ID", "c1"),
        ("CSeq", f"1 {method}"),
    ]
    return Request(method, "sip:b@192.0.2.9", lines)


def response(to: Request, status: int, tag: str = "b1") -> Response:
    return Response.answering(to, status, to_tag=tag)


def sent(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send)]


def news(actions: list[Action]) -> list[object]:
    return [action.event for action in actions if isinstance(action, Up)]


def run(machine: Machine, until: float) -> list[tuple[float, str]]:
    """Let virtual time pass; what happened when: the first line of what was sent, or the event's name."""
    log: list[tuple[float, str]] = []
    while (deadline := machine.next_deadline()) is not None and deadline <= until:
        for action in machine.expire(deadline):
            if isinstance(action, Send):
                log.append((deadline, action.message.first_line.split(" SIP/2.0")[0].replace("SIP/2.0 ", "")))
            else:
                log.append((deadline, type(action.event if isinstance(action, Up) else action).__name__))
    return log


INVITE_LINE = "INVITE sip:b@192.0.2.9"


def test_an_invite_is_repeated_with_doubling_waits_until_it_times_out() -> None:
    """Row 31, RFC 3261 §17.1.1.2: timer A at T1, 3·T1, 7·T1 …; timer B ends it after 64·T1."""
    client = InviteClient(request(), UDP)
    assert sent(client.start(0.0)) == [client.request]
    repeats = [(at, INVITE_LINE) for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]
    assert run(client, 99.0) == [*repeats, (32.0, "TimedOut"), (32.0, "Done")]


def test_an_invite_over_tcp_is_sent_once() -> None:
    """RFC 3261 §17.1.1.2: a reliable flow needs no timer A, but B all the same."""
    client = InviteClient(request(), TCP)
    client.start(0.0)
    assert run(client, 99.0) == [(32.0, "TimedOut"), (32.0, "Done")]


def test_a_provisional_response_stops_both_repeats_and_the_clock() -> None:
    """RFC 3261 §17.1.1.2: a phone may ring for minutes."""
    client = InviteClient(request(), UDP)
    client.start(0.0)
    ringing = response(client.request, 180)
    assert news(client.receive(ringing, 0.2)) == [ResponseCame(ringing)]
    assert run(client, 500.0) == []


def test_a_refusal_is_acknowledged_once_for_each_time_it_comes() -> None:
    """Row 7, RFC 3261 §17.1.1.3: our ACK has the INVITE's top Via, Request-URI and Route, and the response's
    To."""
    client = InviteClient(request(), UDP)
    client.start(0.0)
    busy = response(client.request, 486)
    actions = client.receive(busy, 1.0)
    (ack,) = sent(actions)
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, str(ack.cseq)) == ("ACK", "sip:b@192.0.2.9", "1 ACK")
    assert ack.all("Via") == client.request.all("Via")
    assert ack.all("Route") == client.request.all("Route")
    assert ack.to_tag == "b1"
    assert news(actions) == [ResponseCame(busy)]
    again = client.receive(busy, 2.0)
    assert (sent(again), news(again)) == ([ack], [])
    assert run(client, 99.0) == [(33.0, "Done")]


def test_a_refusal_over_tcp_ends_the_transaction_at_once() -> None:
    """RFC 3261 §17.1.1.2: timer D is zero on a reliable flow."""
    client = InviteClient(request(), TCP)
    client.start(0.0)
    assert client.receive(response(client.request, 486), 1.0)[-1] == Done()


def test_every_2xx_of_a_fork_goes_up_until_timer_m() -> None:
    """Row 24, RFC 6026 §8.4: after a 2xx the transaction stays to hear the others, and drops late
    refusals."""
    client = InviteClient(request(), UDP)
    client.start(0.0)
    first, second = response(client.request, 200, "b1"), response(client.request, 200, "b2")
    assert news(client.receive(first, 1.0)) == [ResponseCame(first)]
    assert news(client.receive(second, 1.5)) == [ResponseCame(second)]
    assert client.receive(response(client.request, 486), 1.6) == []
    assert run(client, 99.0) == [(33.0, "Done")]


def test_cancel_waits_for_the_first_provisional_response() -> None:
    """Row 9, RFC 3261 §9.1: before a 1xx nothing may go; it then has the INVITE's branch and no To tag."""
    client = InviteClient(request(), UDP)
    client.start(0.0)
    assert client.cancel(0.1) is None and not client.cancel_due
    client.receive(response(client.request, 100, ""), 0.2)
    assert client.cancel_due
    cancel = client.cancel(0.2)
    assert cancel is not None
    assert cancel.via.branch == "z9hG4bKone" and str(cancel.cseq) == "1 CANCEL" and cancel.to_tag == ""
    assert cancel.uri == client.request.uri and cancel.all("Route") == client.request.all("Route")


def test_a_cancelled_invite_gives_up_when_the_487_never_comes() -> None:
    """Row 9, RFC 3261 §9.1: 64·T1 after the CANCEL, also if another 180 comes in between."""
    client = InviteClient(request(), UDP)
    client.start(0.0)
    client.receive(response(client.request, 180), 1.0)
    client.cancel(10.0)
    client.receive(response(client.request, 180), 20.0)
    assert run(client, 99.0) == [(42.0, "TimedOut"), (42.0, "Done")]


def test_a_request_is_repeated_up_to_t2_and_times_out() -> None:
    """Row 31, RFC 3261 §17.1.2.2: timer E doubles to 4 s, timer F ends it."""
    client = RequestClient(request("BYE"), UDP)
    client.start(0.0)
    log = run(client, 99.0)
    assert [at for at, what in log if what.startswith("BYE")] == [
        0.5,
        1.5,
        3.5,
        7.5,
        11.5,
        15.5,
        19.5,
        23.5,
        27.5,
        31.5,
    ]
    assert log[-2:] == [(32.0, "TimedOut"), (32.0, "Done")]


def test_a_provisional_response_slows_the_repeats_down_to_t2() -> None:
    """RFC 3261 §17.1.2.2: in Proceeding timer E is T2; timer F still runs."""
    client = RequestClient(request("BYE"), UDP)
    client.start(0.0)
    client.receive(response(client.request, 100, ""), 0.1)
    assert [at for at, _ in run(client, 99.0)] == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5, 32.0, 32.0]


def test_a_final_response_goes_up_once_and_its_repeats_are_absorbed() -> None:
    """RFC 3261 §17.1.2.2: timer K keeps the transaction T4 for late repeats."""
    client = RequestClient(request("BYE"), UDP)
    client.start(0.0)
    ok = response(client.request, 200)
    assert news(client.receive(ok, 1.0)) == [ResponseCame(ok)]
    assert client.receive(ok, 1.1) == []
    assert run(client, 99.0) == [(6.0, "Done")]


@pytest.mark.parametrize("kind", [InviteClient, RequestClient])
def test_a_broken_flow_ends_a_request_that_waits(kind: type[ClientTransaction]) -> None:
    """RFC 3261 §8.1.3.1: a transport error counts as 503; after a final response it changes nothing."""
    client = kind(request("INVITE" if kind is InviteClient else "BYE"), UDP)
    client.start(0.0)
    assert client.receive(FlowBroke("no route"), 0.1) == [Up(FlowBroke("no route")), Done()]
    done = kind(request("INVITE" if kind is InviteClient else "BYE"), UDP)
    done.start(0.0)
    done.receive(response(done.request, 486), 0.1)
    assert done.receive(FlowBroke("no route"), 0.2) == []


def test_a_repeated_invite_gets_the_last_response_again() -> None:
    """Row 2, RFC 3261 §17.2.1: whatever was said last, provisional or final."""
    server = InviteServer(request(), UDP, "b1")
    assert server.receive(request(), 0.0) == []
    for status in (100, 180, 486):
        server.receive(response(server.request, status), 0.1)
        (again,) = sent(server.receive(request(), 0.2))
        assert isinstance(again, Response) and again.status == status


def test_a_refusal_is_repeated_until_it_is_acknowledged() -> None:
    """Row 4, RFC 3261 §17.2.1: timer G at T1, 2·T1 … T2; the ACK is absorbed, timer I lingers T4."""
    server = InviteServer(request(), UDP, "b1")
    server.receive(response(server.request, 404), 0.0)
    assert [at for at, _ in run(server, 10.0)] == [0.5, 1.5, 3.5, 7.5]
    assert server.receive(request("ACK"), 10.0) == []
    assert server.receive(request("ACK"), 10.1) == []
    assert run(server, 99.0) == [(15.0, "Done")]


def test_a_refusal_that_is_never_acknowledged_is_given_up() -> None:
    """Row 4: timer H after 64·T1; over TCP there are no repeats before it."""
    refusal = response(request(), 404)
    for flow in (UDP, TCP):
        server = InviteServer(request(), flow, "b1")
        server.receive(refusal, 0.0)
        log = run(server, 99.0)
        assert log[-2:] == [(32.0, "AckMissing"), (32.0, "Done")]
        assert (len(log) == 2) is flow.reliable


def test_after_a_2xx_the_invite_is_absorbed_for_64_t1() -> None:
    """Row 2, RFC 6026 §7.1: state Accepted, timer L; a refusal may not follow."""
    server = InviteServer(request(), UDP, "b1")
    server.receive(response(server.request, 200), 0.0)
    assert server.receive(request(), 1.0) == []
    assert server.receive(response(server.request, 486), 1.0) == []
    assert run(server, 99.0) == [(32.0, "Done")]


def test_a_2xx_is_repeated_at_t1_to_t2_until_64_t1_on_every_flow() -> None:
    """Row 1, RFC 3261 §13.3.1.4: also over TCP; then the call must be ended."""
    ok = response(request(), 200)
    for flow in (UDP, TCP):
        log = run(AwaitAck(ok, flow, 0.0), 99.0)
        assert [at for at, what in log if what == "200 OK"] == [
            0.5,
            1.5,
            3.5,
            7.5,
            11.5,
            15.5,
            19.5,
            23.5,
            27.5,
            31.5,
        ]
        assert log[-2:] == [(32.0, "AckMissing"), (32.0, "Done")]


def test_an_acknowledged_2xx_is_silent() -> None:
    """RFC 3261 §13.3.1.4: the ACK stops the repeats."""
    waiting = AwaitAck(response(request(), 200), UDP, 0.0)
    waiting.stop()
    assert run(waiting, 99.0) == []


def test_a_stall_of_the_process_brings_one_repeat_and_not_a_burst() -> None:
    """After 3 s without a turn there is one repeat, and the next one waits its full time."""
    waiting = AwaitAck(response(request(), 200), UDP, 0.0)
    assert len(sent(waiting.expire(3.0))) == 1
    assert waiting.next_deadline() == 4.0


def test_other_requests_are_answered_again_until_timer_j() -> None:
    """RFC 3261 §17.2.2: silent before there is an answer, the same answer for 64·T1 after it, none at all
    over TCP."""
    server = RequestServer(request("BYE"), UDP, "b1")
    assert server.receive(request("BYE"), 0.0) == []
    ok = response(server.request, 200)
    assert sent(server.receive(ok, 0.1)) == [ok]
    assert sent(server.receive(request("BYE"), 5.0)) == [ok]
    assert server.receive(response(server.request, 500), 5.0) == []
    assert run(server, 99.0) == [(32.1, "Done")]
    assert RequestServer(request("BYE"), TCP, "b1").receive(ok, 0.1)[-1] == Done()


def test_ack_missing_names_the_response() -> None:
    """What goes up says which answer of ours was never acknowledged."""
    server = InviteServer(request(), TCP, "b1")
    refusal = response(server.request, 404)
    server.receive(refusal, 0.0)
    assert news(server.expire(32.0)) == [AckMissing(refusal)]
    client = RequestClient(request("BYE"), TCP)
    client.start(0.0)
    assert news(client.expire(32.0)) == [TimedOut()]


def test_an_ack_finds_its_invite_and_a_cancel_is_its_own() -> None:
    """RFC 3261 §17.2.3, §9.2: ACK matches the INVITE's branch; CANCEL is a transaction and names another."""
    assert server_key(request("ACK")) == server_key(request())
    assert server_key(request("CANCEL")) != server_key(request())
    assert server_key(request("CANCEL"), "INVITE") == server_key(request())


def test_the_same_branch_from_another_host_is_another_transaction() -> None:
    """RFC 3261 §17.2.3: the sent-by counts, because two clients may pick the same branch; its case does
    not."""
    one = request(via="SIP/2.0/UDP Host.example;branch=z9hG4bKone")
    assert server_key(one) == server_key(request(via="SIP/2.0/UDP host.EXAMPLE;branch=z9hG4bKone"))
    assert server_key(one) != server_key(request(via="SIP/2.0/UDP other.example;branch=z9hG4bKone"))


@pytest.mark.parametrize(
    "via", ["SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK", "SIP/2.0/UDP 192.0.2.1;branch=1"]
)
def test_without_a_magic_branch_the_old_tuple_decides(via: str) -> None:
    """Row 23, RFC 3261 §17.2.3: Request-URI, tags, Call-ID, CSeq and Via; a bare cookie is no branch."""
    first = request(via=via)
    assert server_key(request("ACK", via=via)) == server_key(first)
    other = request(via=via).set("Call-ID", "c2")
    assert isinstance(other, Request) and server_key(other) != server_key(first)


@pytest.mark.parametrize(
    ("via", "port"),
    [
        ("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;rport", 4321),
        ("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx", 5070),
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;maddr=203.0.113.66", 5060),
    ],
)
def test_a_response_goes_to_the_source_and_the_port_it_asks_for(via: str, port: int) -> None:
    """Row 22, RFC 3581 §4: with rport the source port, else the Via's; never to maddr or the Via's private
    address."""
    assert reply_flow(request(via=via), Flow("udp", ("198.51.100.4", 4321))) == Flow(
        "udp", ("198.51.100.4", port)
    )

"""Dialogs: what each side remembers, in which order, along which route."""

from __future__ import annotations

import json

import pytest

from telephony.errors import SipSyntaxError
from telephony.sip.dialog import Dialog
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response
from telephony.sip.transaction import Flow

FLOW = Flow("udp", ("203.0.113.9", 5060))
US = "<sip:offhook@198.51.100.1:5060>"


def invite(*lines: tuple[str, str]) -> Request:
    return Request(
        "INVITE",
        "sip:100@198.51.100.1",
        [
            ("Via", "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK1"),
            ("From", '"Ann" <sip:ann@example.com>;tag=a1'),
            ("To", "<sip:100@example.com>"),
            ("Call-ID", "c1"),
            ("CSeq", "7 INVITE"),
            *lines,
        ],
    )


CONTACT = ("Contact", "<sip:ann@192.0.2.7:5062;ob>")
PROXIES = (
    ("Record-Route", "<sip:203.0.113.9;lr;r2=on>, <sip:10.0.0.1;lr;r2=on>"),
    ("Record-Route", "<sip:192.0.2.2;lr>"),
)


def uas(*lines: tuple[str, str]) -> Dialog:
    return Dialog.as_uas(invite(CONTACT, *lines), "b1", US, FLOW)


def uac(*lines: tuple[str, str], status: int = 200) -> Dialog:
    ours = invite(("Contact", US))
    response = Response.answering(ours, status, to_tag="b1")
    for name, value in lines:
        response.add(name, value)
    return Dialog.as_uac(ours, response, US, FLOW)


def test_the_called_side_keeps_the_route_as_received() -> None:
    """Rows 12, 13, RFC 3261 §12.1.1: every Record-Route, both of a proxy with two sockets, in the order they
    came."""
    bye = uas(*PROXIES).request("BYE")
    assert bye.all("Route") == ["<sip:203.0.113.9;lr;r2=on>", "<sip:10.0.0.1;lr;r2=on>", "<sip:192.0.2.2;lr>"]
    assert bye.uri == "sip:ann@192.0.2.7:5062;ob"


def test_the_calling_side_turns_the_route_round() -> None:
    """Row 12, RFC 3261 §12.1.2."""
    dialog = uac(("Contact", "<sip:bob@192.0.2.8>"), *PROXIES)
    assert dialog.routes == ("<sip:192.0.2.2;lr>", "<sip:10.0.0.1;lr;r2=on>", "<sip:203.0.113.9;lr;r2=on>")
    assert dialog.request("BYE").uri == "sip:bob@192.0.2.8"


def test_a_strict_router_gets_itself_as_target() -> None:
    """Row 14, RFC 3261 §12.2.1.1: no `lr`, so Request-URI is the first route and the Contact is the last
    one."""
    bye = uas(("Record-Route", "<sip:203.0.113.9>, <sip:192.0.2.2;lr>")).request("BYE")
    assert bye.uri == "sip:203.0.113.9"
    assert bye.all("Route") == ["<sip:192.0.2.2;lr>", "<sip:ann@192.0.2.7:5062;ob>"]


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ("<sip:John Doe@192.0.2.7>", "sip:John%20Doe@192.0.2.7"),
        ("<sip:a@192.0.2.7;x=SIP/2.0 200 OK>", "sip:a@192.0.2.7;x=SIP/2.0%20200%20OK"),
        ("<x:y\tz>", "x:y%09z"),
    ],
)
def test_what_a_contact_holds_breaks_no_request_line_of_ours(contact: str, uri: str) -> None:
    """RFC 3261 §7.1, §25.1: there is no space in a Request-URI. Old phones put their user's name into Contact."""
    bye = Dialog.as_uas(invite(("Contact", contact)), "b1", US, FLOW).request("BYE")
    assert bye.first_line == f"BYE {uri} SIP/2.0"
    assert lex(bye.encode()).first_line == bye.first_line


def test_our_requests_carry_our_side_as_from_and_count_on_their_own() -> None:
    """Rows 17, 18, RFC 3261 §12.2.1.1: tags as agreed, our numbers independent of theirs."""
    dialog = uas()
    first, second = dialog.request("INFO"), dialog.request("BYE")
    assert first.get("From") == "<sip:100@example.com>;tag=b1"
    assert first.get("To") == '"Ann" <sip:ann@example.com>;tag=a1'
    assert (str(first.cseq), str(second.cseq)) == ("1 INFO", "2 BYE")


def test_an_ack_has_the_invites_number_whatever_came_between() -> None:
    """Row 18, RFC 3261 §13.2.2.4."""
    dialog = uac(CONTACT)
    dialog.request("INFO")
    assert str(dialog.ack(7).cseq) == "7 ACK"
    assert str(dialog.request("BYE").cseq) == "9 BYE"


def test_their_numbers_may_jump_but_not_go_back() -> None:
    """Row 18, RFC 3261 §12.2.2: a gap is fine, an older request is 500."""
    dialog = uas()

    def asked(number: int) -> int:
        return dialog.accept(Request("INFO", "sip:x@y", [("CSeq", f"{number} INFO")]))

    assert [asked(9), asked(500), asked(499), asked(501)] == [0, 0, 500, 0]


def test_the_target_moves_and_the_route_does_not() -> None:
    """Row 15, RFC 3261 §12.2: Contact of a re-INVITE or its 2xx counts, its Record-Route does not."""
    dialog = uas(*PROXIES)
    before = dialog.routes
    dialog.early = False
    moved = Response(200, "", [("Contact", "<sip:ann@192.0.2.70>"), ("Record-Route", "<sip:192.0.2.66;lr>")])
    dialog.confirm(moved)
    assert dialog.target == "sip:ann@192.0.2.70" and dialog.routes == before


def test_the_2xx_sets_the_route_of_a_dialog_that_was_early() -> None:
    """RFC 3261 §13.2.2.4: what the 180 said of the route is computed anew from the 200."""
    dialog = uac(("Record-Route", "<sip:192.0.2.2;lr>"), CONTACT, status=180)
    dialog.confirm(
        Response(200, "", [("Contact", "<sip:bob@192.0.2.8>"), ("Record-Route", "<sip:192.0.2.3;lr>")])
    )
    assert dialog.routes == ("<sip:192.0.2.3;lr>",) and not dialog.early


@pytest.mark.parametrize(
    ("lines", "remote"),
    [
        ((), ("192.0.2.7", 5062)),
        ((("Record-Route", "<sip:192.0.2.2:5080;lr>"),), ("192.0.2.2", 5080)),
        ((("Record-Route", "<sip:edge.example.com;lr>"),), ("203.0.113.9", 5060)),
    ],
)
def test_requests_go_to_the_first_route_else_to_the_target(
    lines: tuple[tuple[str, str], ...], remote: tuple[str, int]
) -> None:
    """Row 13, RFC 3261 §8.1.2: an address is used; a name means the neighbour that we hear from."""
    assert uas(*lines).next_flow().remote == remote


def test_on_tcp_requests_stay_on_the_connection() -> None:
    """Row 37: their connection carries our requests too."""
    flow = Flow("tcp", ("203.0.113.9", 40112), 3)
    assert Dialog.as_uas(invite(CONTACT), "b1", US, flow).next_flow() == flow


def test_over_a_connection_that_we_opened_a_proxy_on_record_decides() -> None:
    """Rows 13, 37: without one our own connection is used, whatever their Contact says; with one, that proxy,
    over the transport that it names, and under the name whose certificate we believed."""
    flow = Flow("tls", ("203.0.113.9", 5061), name="example.com")

    def towards(*lines: tuple[str, str]) -> Flow:
        response = Response.answering(invite(("Contact", US)), 200, to_tag="b1")
        for name, value in (CONTACT, *lines):
            response.add(name, value)
        return Dialog.as_uac(invite(("Contact", US)), response, US, flow).next_flow()

    assert towards() == flow
    hop = towards(("Record-Route", "<sip:192.0.2.2;transport=tls;lr>"))
    assert (hop, hop.name) == (Flow("tls", ("192.0.2.2", 5061)), "example.com")
    assert towards(("Record-Route", "<sip:192.0.2.2;transport=TCP;lr>")) == Flow("tcp", ("192.0.2.2", 5060))


def test_a_contact_may_name_another_transport() -> None:
    """RFC 3261 §18.1.1: `;transport=tcp` and sips are where their owner listens."""
    tcp = ("Contact", "<sip:ann@192.0.2.7:5062;transport=tcp>")
    assert Dialog.as_uas(invite(tcp), "b1", US, FLOW).next_flow() == Flow("tcp", ("192.0.2.7", 5062))
    tls = ("Contact", "<sips:ann@192.0.2.7>")
    assert Dialog.as_uas(invite(tls), "b1", US, FLOW).next_flow() == Flow("tls", ("192.0.2.7", 5061))


def test_a_snapshot_survives_json_and_restores_an_equal_dialog() -> None:
    """Handover to another process or to Redis: plain data, and the next request is the one that would have
    come."""
    dialog = uas(*PROXIES)
    dialog.request("INFO")
    twin = Dialog.restore(json.loads(json.dumps(dialog.snapshot())))
    assert twin == dialog
    assert twin.request("BYE").encode() == dialog.request("BYE").encode()


def test_no_dialog_without_contact_or_with_an_unreadable_route() -> None:
    """RFC 3261 §8.1.1.8: we could never hang up on such a caller, so the call is refused at the door."""
    with pytest.raises(SipSyntaxError, match="Contact"):
        Dialog.as_uas(invite(), "b1", US, FLOW)
    with pytest.raises(SipSyntaxError):
        uas(("Record-Route", "<::::>"))

"""Digest login against the examples of the RFCs, and the whole handshake on the sans-IO stack."""

from __future__ import annotations

import itertools

import pytest

from telephony.sip.dialog import Dialog
from telephony.sip.digest import Challenge, Credentials, Doorkeeper, Login, Proof, challenges, digest
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Replied
from telephony.sip.headers import AuthParams
from telephony.sip.lexer import lex
from telephony.sip.message import Request, Response
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow, Send, Up

CARRIER = Flow("udp", ("203.0.113.9", 5060))
BOT = Credentials("bot", "s3cret")


def test_the_example_of_rfc_2617_comes_out() -> None:
    """RFC 2617 §3.5, as SIP servers still compute it."""
    assert (
        digest(
            algorithm="",
            user="Mufasa",
            realm="testrealm@host.com",
            password="Circle Of Life",
            nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
            method="GET",
            uri="/dir/index.html",
            qop="auth",
            nc="00000001",
            cnonce="0a4f113b",
        )
        == "6629fae49393a05397450978507c4ef1"
    )


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_come_out(algorithm: str, expected: str) -> None:
    """RFC 7616 §3.9.1."""
    assert (
        digest(
            algorithm=algorithm,
            user="Mufasa",
            realm="http-auth@example.org",
            password="Circle of Life",
            nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            method="GET",
            uri="/dir/index.html",
            qop="auth",
            nc="00000001",
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )
        == expected
    )


def test_the_old_form_without_qop_is_answered_without_counter() -> None:
    """RFC 2069 servers: H(H(A1):nonce:H(A2)), and no nc or cnonce in the header."""
    request = Request("REGISTER", "sip:carrier.example")
    login = Login(BOT, lambda: "c")
    assert login.challenged(refusal(401, 'Digest realm="r", nonce="n"'), set())
    login.authorize(request)
    params = AuthParams.parse(request.get("Authorization") or "").params
    assert "nc" not in params and "cnonce" not in params and "qop" not in params
    sum_ = digest(
        algorithm="", user="bot", realm="r", password="s3cret", nonce="n", method="REGISTER", uri=request.uri
    )
    assert params["response"] == sum_


def refusal(status: int, *lines: str) -> Response:
    name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[status]
    return Response(status, "", [(name, line) for line in lines])


def test_of_several_challenges_the_strongest_that_we_know_is_taken() -> None:
    """RFC 8760 §2.4: SHA-256 before MD5, whatever their order; what cannot be computed is passed over."""
    offered = refusal(
        401,
        'Digest realm="r", nonce="a", algorithm=MD5, qop="auth"',
        'Digest realm="r", nonce="b", algorithm=SHA-256, qop="auth,auth-int", Digest nonce="c", algorithm=ODD',
        'Basic realm="r"',
        "Digest nonsense",
    )
    assert challenges(offered) == [Challenge(401, "r", "b", "SHA-256", "auth", None, False)]


def test_a_challenge_that_wants_only_auth_int_is_left_unanswered() -> None:
    """It would sign a body that proxies change; the call hears its 401 and ends."""
    assert challenges(refusal(407, 'Digest realm="r", nonce="a", qop="auth-int"')) == []


def test_credentials_go_to_their_realm_only() -> None:
    login = Login(Credentials("bot", "s3cret", realm="carrier.example"), lambda: "c")
    assert not login.challenged(refusal(401, 'Digest realm="elsewhere", nonce="a"'), set())
    assert login.challenged(refusal(401, 'Digest realm="carrier.example", nonce="a"'), set())


# ---------------------------------------------------------------- the handshake, as the caller


def a_stack() -> Stack:
    words = (f"t{count}" for count in itertools.count(1))
    return Stack(Endpoint("198.51.100.1:5060", "<sip:us@198.51.100.1>", "Offhook", token=lambda: next(words)))


def messages(actions: list[Action]) -> list[Request]:
    """Requests that leave, as the peer would read them."""
    read = [lex(action.message.encode()) for action in actions if isinstance(action, Send)]
    return [message for message in read if isinstance(message, Request)]


def news(actions: list[Action]) -> list[object]:
    return [action.event for action in actions if isinstance(action, Up)]


def reply(stack: Stack, request: Request, status: int, *lines: str, now: float = 1.0) -> list[Action]:
    """The carrier's answer to a request. A 401 or 407 carries these challenges, a 2xx a Contact."""
    response = Response.answering(request, status, to_tag="c1")
    name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}.get(status, "X-Nothing")
    for line in lines:
        response.add(name, line)
    if status == 200:
        response.add("Contact", "<sip:them@203.0.113.9>")
    return stack.datagram(response.encode(), CARRIER, now)


def params_of(request: Request, name: str = "Authorization") -> dict[str, str]:
    return AuthParams.parse(request.get(name) or "").params


CHALLENGE = 'Digest realm="carrier", nonce="n1", qop="auth", opaque="o=1", algorithm=SHA-256'


def logged_in() -> tuple[Stack, Dialog, Request]:
    """A call of ours that was challenged once and then answered. Returns its dialog and second INVITE."""
    stack = a_stack()
    transaction, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    (first,) = messages(actions)
    _, second = messages(reply(stack, first, 401, CHALLENGE))
    (event,) = news(reply(stack, second, 200))
    assert isinstance(event, Replied) and event.dialog is not None
    assert event.transaction is transaction, "the call knows the transaction it was given, not the repeat"
    (ack,) = messages(stack.ack(transaction, event.dialog))
    assert ack.cseq.number == second.cseq.number == 2
    return stack, event.dialog, second


def test_a_challenged_invite_comes_again_with_credentials() -> None:
    """Row 19, RFC 3261 §22.2: the refusal is acknowledged; same Call-ID and From tag, CSeq+1, new branch."""
    stack = a_stack()
    _, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    (first,) = messages(actions)
    answer = reply(stack, first, 407, CHALLENGE)
    assert news(answer) == []
    ack, second = messages(answer)
    assert ack.method == "ACK" and ack.via.branch == first.via.branch
    assert second.call_id == first.call_id and second.from_tag == first.from_tag
    assert second.cseq.number == first.cseq.number + 1 and second.via.branch != first.via.branch
    assert second.to_tag == "" and len(second.vias) == 1
    params = params_of(second, "Proxy-Authorization")
    assert (params["nc"], params["cnonce"], params["opaque"]) == ("00000001", "cn", "o=1")
    assert params["response"] == digest(
        algorithm="SHA-256",
        user="bot",
        realm="carrier",
        password="s3cret",
        nonce="n1",
        method="INVITE",
        uri="sip:100@203.0.113.9",
        qop="auth",
        nc="00000001",
        cnonce="cn",
    )
    repeated = reply(stack, first, 407, CHALLENGE, now=1.5)
    assert [request.method for request in messages(repeated)] == ["ACK"], (
        "a repeat of the 407 asks nothing new"
    )


def test_a_proxy_and_a_registrar_may_both_ask() -> None:
    """Rows 19: 407 from the proxy, then 401 from the far side; both lines go along."""
    stack = a_stack()
    _, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    (first,) = messages(actions)
    _, second = messages(reply(stack, first, 407, CHALLENGE))
    _, third = messages(reply(stack, second, 401, 'Digest realm="inner", nonce="n2"'))
    assert params_of(third, "Proxy-Authorization")["nc"] == "00000002"
    assert params_of(third)["realm"] == "inner"
    assert third.cseq.number == 3


def test_a_wrong_password_is_offered_once() -> None:
    """A second challenge without `stale` means no: the call hears 401 and nobody is hammered."""
    stack = a_stack()
    _, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    (first,) = messages(actions)
    _, second = messages(reply(stack, first, 401, CHALLENGE))
    (event,) = news(reply(stack, second, 401, CHALLENGE.replace("n1", "n2")))
    assert isinstance(event, Replied) and event.response.status == 401


def test_a_stale_nonce_gets_one_more_try() -> None:
    """Row 19, RFC 7616 §3.3: `stale=true` says that the password was right; but not for ever."""
    stack = a_stack()
    _, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    (first,) = messages(actions)
    stale = CHALLENGE + ", stale=TRUE"
    _, second = messages(reply(stack, first, 401, CHALLENGE))
    _, third = messages(reply(stack, second, 401, stale.replace("n1", "n2")))
    assert (params_of(third)["nonce"], params_of(third)["nc"]) == ("n2", "00000001")
    assert len(news(reply(stack, third, 401, stale.replace("n1", "n3")))) == 1


def test_a_call_without_password_hears_the_401() -> None:
    stack = a_stack()
    _, actions = stack.invite("sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0)
    (event,) = news(reply(stack, messages(actions)[0], 401, CHALLENGE))
    assert isinstance(event, Replied) and event.response.status == 401


def test_the_nonce_serves_again_within_the_call() -> None:
    """Row 19: BYE and re-INVITE take the nonce along with the next count, and are not challenged again."""
    stack, dialog, _ = logged_in()
    _, actions = stack.ask(dialog, "INVITE", 2.0)
    params = params_of(messages(actions)[0])
    assert (params["nonce"], params["nc"], params["uri"]) == ("n1", "00000002", "sip:them@203.0.113.9")
    reply(stack, messages(actions)[0], 200)
    _, actions = stack.ask(dialog, "BYE", 3.0)
    assert params_of(messages(actions)[0])["nc"] == "00000003"


def test_a_challenged_bye_comes_again_with_the_next_number() -> None:
    """Row 19: a nonce that ran out during the call; the dialog's numbers go on from there."""
    stack, dialog, _ = logged_in()
    _, actions = stack.ask(dialog, "BYE", 2.0)
    (bye,) = messages(actions)
    (again,) = messages(reply(stack, bye, 401, CHALLENGE.replace("n1", "n9")))
    assert again.cseq.number == bye.cseq.number + 1 == dialog.local_seq
    assert params_of(again)["nonce"] == "n9" and again.to_tag == "c1"
    assert len(news(reply(stack, again, 200))) == 1 and stack.pending == 0


def test_a_call_that_was_cancelled_is_not_tried_again() -> None:
    """RFC 3261 §9.1: the 401 that crosses our CANCEL ends the call."""
    stack = a_stack()
    transaction, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    assert stack.cancel(transaction, 0.5) == []
    answer = reply(stack, messages(actions)[0], 401, CHALLENGE)
    assert [request.method for request in messages(answer)] == ["ACK"] and len(news(answer)) == 1


def test_a_repeat_can_be_cancelled_by_whoever_placed_the_call() -> None:
    """The CANCEL goes to the INVITE with credentials, not to the one that was refused."""
    stack = a_stack()
    transaction, actions = stack.invite(
        "sip:100@203.0.113.9", "<sip:bot@x>", CARRIER, 0.0, login=Login(BOT, lambda: "cn")
    )
    _, second = messages(reply(stack, messages(actions)[0], 401, CHALLENGE))
    reply(stack, second, 180)
    (cancel,) = messages(stack.cancel(transaction, 2.0))
    assert cancel.method == "CANCEL" and cancel.via.branch == second.via.branch


# ---------------------------------------------------------------- asking for it


DOOR = Doorkeeper("offhook", b"secret of this process")
HOST = "198.51.100.7"


def proven(challenge: tuple[tuple[str, str], ...], password: str = "s3cret") -> Request:
    """An INVITE that answers our challenge as any phone would: with our own client."""
    login = Login(Credentials("bot", password), lambda: "cn")
    assert login.challenged(Response(401, "", challenge), set())
    request = Request("INVITE", "sip:100@offhook.example")
    login.authorize(request)
    return request


def test_whoever_knows_the_password_comes_in() -> None:
    """RFC 8760: SHA-256 and MD5 are both offered; ours takes the stronger one."""
    lines = DOOR.challenge(HOST, 10.0)
    assert [AuthParams.parse(line).params["algorithm"] for _, line in lines] == ["SHA-256", "MD5"]
    assert DOOR.check(proven(lines), HOST, 11.0, {"bot": "s3cret"}) == (Proof.RIGHT, "bot")
    assert DOOR.check(proven(lines[1:]), HOST, 11.0, {"bot": "s3cret"}) == (Proof.RIGHT, "bot")


def test_a_wrong_password_and_an_unknown_user_look_the_same() -> None:
    lines = DOOR.challenge(HOST, 10.0)
    assert DOOR.check(proven(lines, "guess"), HOST, 11.0, {"bot": "s3cret"}) == (Proof.WRONG, "")
    assert DOOR.check(proven(lines), HOST, 11.0, {}) == (Proof.WRONG, "")
    assert DOOR.check(Request("INVITE", "sip:100@x"), HOST, 11.0, {"bot": "s3cret"}) == (Proof.NONE, "")


def test_a_nonce_ages_and_belongs_to_one_address_and_one_server() -> None:
    """RFC 7616 §5.4: what an eavesdropper can use again is bounded, and the phone asks no user for it."""
    lines = DOOR.challenge(HOST, 10.0)
    assert DOOR.check(proven(lines), HOST, 10.0 + 61.0, {"bot": "s3cret"})[0] is Proof.STALE
    assert DOOR.check(proven(lines), "192.0.2.1", 11.0, {"bot": "s3cret"})[0] is Proof.STALE
    assert (
        Doorkeeper("offhook", b"other").check(proven(lines), HOST, 11.0, {"bot": "s3cret"})[0] is Proof.STALE
    )


def test_credentials_that_were_overheard_open_nothing() -> None:
    """RFC 7616 §3.4.5: the count must grow with every use of a nonce; whoever repeats one is asked again, and
    the phone goes on where it was."""
    door, passwords = Doorkeeper("offhook", b"secret"), {"bot": "s3cret"}
    login = Login(Credentials("bot", "s3cret"), lambda: "cn")
    assert login.challenged(Response(401, "", door.challenge(HOST, 10.0)), set())
    requests = [Request("INVITE", "sip:100@offhook.example") for _ in range(3)]
    for request in requests:
        login.authorize(request)
    first, second, third = requests
    assert [params_of(request)["nc"][-1] for request in requests] == ["1", "2", "3"]
    assert door.check(first, HOST, 11.0, passwords)[0] is Proof.RIGHT
    assert door.check(first, HOST, 11.1, passwords) == (Proof.STALE, "")
    assert door.check(third, HOST, 11.2, passwords)[0] is Proof.RIGHT
    assert door.check(second, HOST, 11.3, passwords)[0] is Proof.STALE
    for count in ("", "zz", "-1", "00000000"):
        forged = proven(door.challenge(HOST, 12.0))
        text = forged.get("Authorization") or ""
        forged.set("Authorization", text.replace("00000001", count))
        assert door.check(forged, HOST, 12.0, passwords)[0] is not Proof.RIGHT


def test_two_phones_behind_one_address_count_apart() -> None:
    """Nonces that are given out in the same millisecond are still two."""
    door, passwords = Doorkeeper("offhook", b"secret"), {"bot": "s3cret"}
    for request in [proven(door.challenge(HOST, 10.0)) for _ in range(2)]:
        assert door.check(request, HOST, 10.0, passwords)[0] is Proof.RIGHT


def test_credentials_do_not_open_the_way_to_another_number() -> None:
    """RFC 7616 §3.4.6: the uri that was signed must be the one that is called; its host may be rewritten."""
    request = proven(DOOR.challenge(HOST, 10.0))
    request.uri = "sip:100@10.0.0.5:5070"
    assert DOOR.check(request, HOST, 11.0, {"bot": "s3cret"})[0] is Proof.RIGHT
    request.uri = "sip:00882123456@offhook.example"
    assert DOOR.check(request, HOST, 11.0, {"bot": "s3cret"})[0] is Proof.WRONG


def test_credentials_made_of_stray_bytes_are_wrong_and_nothing_worse() -> None:
    """Whatever a stranger sends, it is their call only."""
    lines = (("WWW-Authenticate", 'Digest realm="offhook", nonce="\udcff.\udcfe", qop="auth"'),)
    assert DOOR.check(proven(lines), HOST, 11.0, {"bot": "s3cret"})[0] is Proof.STALE
    request = Request("INVITE", "sip:100@x").add("Authorization", 'Digest realm="offhook", username="\udcff"')
    assert DOOR.check(request, HOST, 11.0, {"bot": "s3cret"})[0] is Proof.WRONG

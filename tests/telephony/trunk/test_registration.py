"""One login at a carrier, in virtual time: requests out, responses in."""

from __future__ import annotations

from telephony.sip.message import Request, Response
from telephony.trunk.registration import Account, Registration, Standing

CONTACT = "<sip:bot@198.51.100.1:5060>"


def a_registration(expiry_s: int = 3600) -> Registration:
    account = Account.at("bot", "carrier.example", expiry_s=expiry_s)
    return Registration(account, CONTACT, "call-1", "tag-1", 0.0, lambda low, high: high)


def answered(
    registration: Registration, now: float, status: int, *headers: tuple[str, str], number: int = 0
) -> Request:
    """Let it send what is due, and answer. number: CSeq of the answer, if a challenge took more than one."""
    request = registration.request()
    response = Response.answering(request, status, to_tag="r")
    if number:
        response.set("CSeq", f"{number} REGISTER")
    for name, value in headers:
        response.add(name, value)
    registration.receive(response, now)
    return request


def standing(registration: Registration) -> Standing:
    """Asked anew each time: it changes behind the type checker's back."""
    return registration.standing


def test_it_says_who_can_be_reached_where() -> None:
    """RFC 3261 §10.2: the domain as Request-URI, the user in From and To, our address in Contact."""
    request = answered(a_registration(), 0.0, 200)
    assert request.first_line == "REGISTER sip:carrier.example SIP/2.0"
    assert request.get("To") == "<sip:bot@carrier.example>"
    assert request.get("From") == "<sip:bot@carrier.example>;tag=tag-1"
    assert request.get("Contact") == f"{CONTACT};expires=3600" and request.expires == 3600


def test_it_is_refreshed_in_time_for_a_second_try() -> None:
    """RFC 3261 §10.2.4: before the registrar forgets us, with room for a refresh that fails after 32 s."""
    registration = a_registration()
    assert registration.next_deadline() == 0.0
    first = answered(registration, 0.0, 200, ("Contact", f"{CONTACT};expires=120"))
    assert (registration.standing, registration.until, registration.next_deadline()) == (
        Standing.IN,
        120.0,
        80.0,
    )
    second = answered(registration, 80.0, 200, ("Expires", "3600"))
    assert registration.next_deadline() == 80.0 + 2880.0
    assert second.call_id == first.call_id and second.cseq.number == 2, "same Call-ID, growing CSeq (§10.2)"


def test_our_own_contact_counts_among_those_of_other_phones() -> None:
    """A registrar lists every binding of the user, and may shorten each differently (§10.3)."""
    registration = a_registration()
    others = "<sip:bot@192.0.2.9>;expires=30, <sip:bot@198.51.100.1:5060>;expires=600"
    answered(registration, 0.0, 200, ("Contact", others), ("Expires", "99"))
    assert registration.until == 600.0


def test_a_contact_that_was_rewritten_on_its_way_is_ours() -> None:
    """A proxy or NAT helper changes the address; the one binding there is must be it."""
    registration = a_registration()
    answered(registration, 0.0, 200, ("Contact", "<sip:bot@203.0.113.77:1024>;expires=60"))
    assert registration.until == 60.0 and registration.next_deadline() == 30.0


def test_423_is_answered_with_the_time_the_registrar_wants() -> None:
    """RFC 3261 §10.2.8: at once, with Min-Expires; one that names nothing longer is a failure."""
    registration = a_registration(expiry_s=60)
    answered(registration, 0.0, 423, ("Min-Expires", "900"))
    assert registration.next_deadline() == 0.0 and registration.why == ""
    assert answered(registration, 0.1, 200).expires == 900
    assert registration.until == 900.1
    answered(registration, 700.0, 423, ("Min-Expires", "5"))
    assert registration.why.startswith("423") and registration.standing is Standing.IN


def test_a_registrar_that_keeps_asking_for_more_is_left_alone_for_a_while() -> None:
    registration = a_registration(expiry_s=60)
    for more in range(4):
        answered(registration, 0.0, 423, ("Min-Expires", str(100 + more)))
    assert registration.failures == 1 and (registration.next_deadline() or 0) > 0


def test_failures_are_tried_again_at_growing_distances() -> None:
    """Row "REGISTER as client": a registrar that is down must not be met by all its phones at once."""
    registration, now, waits = a_registration(), 0.0, []
    for _ in range(9):
        answered(registration, now, 503)
        waits.append((registration.next_deadline() or 0) - now)
        now += waits[-1]
    assert waits == [4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    assert standing(registration) is Standing.OUT
    answered(registration, now, 200)
    assert standing(registration) is Standing.IN and registration.failures == 0 and registration.why == ""


def test_a_registrar_that_was_restarted_hears_from_us_once_it_answers_again() -> None:
    """Its refresh failed: we count as known until the time is up, and come back with the first answer."""
    registration = a_registration()
    answered(registration, 0.0, 200, ("Expires", "120"))
    registration.receive(Response(408, "No answer"), 112.0)
    assert standing(registration) is Standing.IN and registration.next_deadline() == 116.0
    registration.receive(Response(408, "No answer"), 148.0)
    assert standing(registration) is Standing.OUT
    assert registration.next_deadline() == 156.0
    answered(registration, 156.0, 200)
    assert standing(registration) is Standing.IN


def test_the_next_registrar_is_asked_when_one_fails() -> None:
    """Row 34: at once and with the same Call-ID; only when all have failed is it time to wait."""
    others = [Account.at("bot", "b.example"), Account.at("bot", "c.example")]
    registration = Registration(
        Account.at("bot", "a.example"), CONTACT, "call-1", "tag-1", 0.0, lambda low, high: high, others
    )
    asked = [answered(registration, 0.0, 503)]
    assert registration.next_deadline() == 0.0
    asked += [answered(registration, 0.0, 408), answered(registration, 1.0, 500)]
    assert [one.uri for one in asked] == ["sip:a.example", "sip:b.example", "sip:c.example"]
    assert registration.next_deadline() == 17.0, "the third failure in a row"
    answered(registration, 17.0, 503)
    took = answered(registration, 17.0, 200, ("Expires", "600"))
    assert took.get("To") == "<sip:bot@b.example>" and standing(registration) is Standing.IN
    assert answered(registration, 400.0, 200).uri == "sip:b.example", "it stays where it was taken"
    assert registration.leave(500.0) and registration.request().uri == "sip:b.example"


def test_a_registrar_that_refuses_us_is_not_passed_over() -> None:
    """Row 34: 4xx is about us, not about the registrar."""
    registration = Registration(
        Account.at("bot", "a.example"), CONTACT, "c", "t", 0.0, max, [Account.at("bot", "b.example")]
    )
    answered(registration, 0.0, 403)
    assert registration.next_deadline() == 300.0 and registration.request().uri == "sip:a.example"


def test_a_refused_password_is_not_tried_in_a_hurry() -> None:
    """403 and a second 401 come from the password; carriers block who insists."""
    registration = a_registration()
    answered(registration, 0.0, 403)
    assert registration.next_deadline() == 300.0 and registration.why == "403 Forbidden"


def test_retry_after_is_kept() -> None:
    """RFC 3261 §20.33: an overloaded registrar says when."""
    registration = a_registration()
    answered(registration, 0.0, 503, ("Retry-After", "90 (maintenance)"))
    assert registration.next_deadline() == 90.0


def test_the_numbers_that_a_challenge_took_are_not_used_again() -> None:
    """Row 18: the repeat with credentials had the next CSeq; ours goes on after it."""
    registration = a_registration()
    answered(registration, 0.0, 200, number=2)
    assert registration.request().cseq.number == 3


def test_leaving_takes_our_contact_away() -> None:
    """RFC 3261 §10.2.2: Expires 0; whatever the answer, we are gone. Whoever was never in says nothing."""
    registration = a_registration()
    answered(registration, 0.0, 200)
    assert registration.leave(10.0) and registration.next_deadline() == 10.0
    goodbye = answered(registration, 10.0, 500)
    assert goodbye.expires == 0 and goodbye.get("Contact") == f"{CONTACT};expires=0"
    assert registration.standing is Standing.LEFT and registration.next_deadline() is None
    never = a_registration()
    assert not never.leave(1.0) and never.next_deadline() is None

"""Keys in offers and answers: who encrypts, with which of the lines, and who is refused (RFC 4568)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telephony.call.agreement import Agreement
from telephony.errors import SdpError
from telephony.sdp.crypto import SUITES, Crypto, SrtpPolicy, draw_keys, key_bytes
from telephony.sdp.description import Media, Sdp
from telephony.sdp.negotiate import LocalMedia, accept, answer, offer
from telephony.sdp.plan import MediaPlan, Srtp

SHA80, SHA32, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
NEXT_KEY = "YUJDZGVmZ2hpSktMbW5vUFFSU3R1dldYeXoxMjM0"
LINE = f"a=crypto:1 {SHA80} inline:{KEY}"
OURS = draw_keys(lambda size: bytes(range(size)))


def we(srtp: SrtpPolicy) -> LocalMedia:
    return LocalMedia("198.51.100.1", 10000, session_id=42, srtp=srtp, keys=OURS)


def theirs(protocol: str, *lines: str) -> Sdp:
    head = f"v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 {protocol} 0\n"
    return Sdp.parse(head + "\n".join(lines))


def audio(description: Sdp | bytes) -> Media:
    return (Sdp.parse(description) if isinstance(description, bytes) else description).media[0]


# ------------------------------------------------------------------ their offer


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP", "RTP/AVPF"])
@pytest.mark.parametrize("srtp", ["optional", "required"])
def test_keys_are_answered_in_kind_with_ours_and_the_same_tag(srtp: SrtpPolicy, protocol: str) -> None:
    """Row 51: RFC 4568 §5.1.2; with RTP/AVP it is the optimistic offer of RFC 8643."""
    sdp, plan = answer(we(srtp), theirs(protocol, f"a=crypto:7 {SHA80} inline:{KEY}|2^20"))
    assert audio(sdp).protocol == protocol
    assert audio(sdp).all("crypto") == [f"7 {SHA80} inline:{OURS[SHA80]}"]
    assert plan.srtp == Srtp(SHA80, 7, send_key=OURS[SHA80], receive_key=KEY)


@pytest.mark.parametrize(
    ("srtp", "protocol", "lines", "encrypted"),
    [
        ("off", "RTP/AVP", (), False),
        ("off", "RTP/AVP", (LINE,), False),
        ("off", "RTP/SAVP", (LINE,), None),
        ("optional", "RTP/AVP", (), False),
        ("optional", "RTP/SAVP", (LINE,), True),
        ("optional", "RTP/SAVP", (), None),
        ("required", "RTP/AVP", (), None),
        ("required", "RTP/SAVP", (), None),
        ("required", "RTP/AVP", (LINE,), True),
        ("required", "UDP/TLS/RTP/SAVPF", (LINE,), None),
    ],
)
def test_the_policy_says_who_is_taken_and_who_gets_488(
    srtp: SrtpPolicy, protocol: str, lines: tuple[str, ...], encrypted: bool | None
) -> None:
    """Row 51: RTP/SAVP is refused when off, plain RTP when keys are required."""
    if encrypted is None:
        with pytest.raises(SdpError) as refused:
            answer(we(srtp), theirs(protocol, *lines))
        assert refused.value.code == 488
        assert KEY not in str(refused.value)
    else:
        sdp, plan = answer(we(srtp), theirs(protocol, *lines))
        assert (plan.srtp is not None, bool(audio(sdp).all("crypto"))) == (encrypted, encrypted)


def test_the_first_line_that_we_can_use_is_chosen() -> None:
    """RFC 4568 §5.1.2: in the order of the offer; an unknown suite is stepped over."""
    lines = (
        f"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:{'A' * 64}",
        f"a=crypto:2 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"a=crypto:3 {GCM} inline:{'A' * 38}==",
        LINE,
    )
    sdp, plan = answer(we("optional"), theirs("RTP/SAVP", *lines))
    assert plan.srtp and (plan.srtp.suite, plan.srtp.tag) == (GCM, 3)
    assert audio(sdp).all("crypto") == [f"3 {GCM} inline:{OURS[GCM]}"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1",
        f"1 {SHA80}",
        f"x {SHA80} inline:{KEY}",
        f"1 {SHA80} inline:",
        f"1 {SHA80} inline:{KEY[:-4]}",
        f"1 {SHA80} inline:{KEY}AAAA",
        f"1 {SHA80} inline:{KEY[:-1]}!",
        f"1 {SHA80} inline:{'é' * 40}",
        f"1 {SHA80} prompt:{KEY}",
        f"1 {SHA80} {KEY}",
        f"1 {SHA80} inline:{KEY}|soon",
        f"1 {SHA80} inline:{KEY}|2^20|1:0",
        f"1 {SHA80} inline:{KEY}|2^20|1:129",
        f"1 {SHA80} inline:{KEY}|1:4|2^20",
        f"1 {SHA80} inline:{KEY}|2^20|1:4|9",
        f"1 {SHA80} inline:{KEY}|2^20|1:4;inline:{NEXT_KEY}|2^20|2:4",
        f"1 {SHA80} inline:{KEY} UNENCRYPTED_SRTCP",
        f"1 {SHA80} inline:{KEY} UNENCRYPTED_SRTP",
        f"1 {SHA80} inline:{KEY} UNAUTHENTICATED_SRTP",
        f"1 {SHA80} inline:{KEY} KDR=4",
        f"1 {SHA80} inline:{KEY} FEC_ORDER=FEC_SRTP",
        f"{'9' * 5000} {SHA80} inline:{KEY}",
    ],
)
def test_a_line_that_is_broken_or_asks_too_much_is_stepped_over(line: str) -> None:
    """Row 51: RFC 4568 §6.3, §9.1. Nothing else on offer: 488, or a plain call if it was optimistic."""
    with pytest.raises(SdpError):
        answer(we("optional"), theirs("RTP/SAVP", f"a=crypto:{line}"))
    assert answer(we("optional"), theirs("RTP/AVP", f"a=crypto:{line}"))[1].srtp is None
    _, plan = answer(
        we("optional"), theirs("RTP/SAVP", f"a=crypto:{line}", f"a=crypto:9 {SHA32} inline:{KEY}")
    )
    assert plan.srtp and plan.srtp.tag == 9


@pytest.mark.parametrize(
    "after", ["|2^31", "|1048576", "|2^20|1:4", "|1:4", " WSH=128", " KDR=0", " -vendor", "|2^48|7:4 WSH=64"]
)
def test_lifetime_key_name_and_harmless_parameters_are_understood(after: str) -> None:
    """Row 51: RFC 4568 §6.1, §6.3: each packet of theirs then carries the key's name (MKI)."""
    _, plan = answer(we("required"), theirs("RTP/SAVP", LINE + after))
    assert plan.srtp and (plan.srtp.receive_key, plan.srtp.receive_mki_bytes) == (
        KEY,
        4 if ":4" in after else 0,
    )


def test_a_secured_stream_beside_a_plain_one_is_the_callers_choice() -> None:
    """Older phones offer both as two streams; the first that the policy allows is taken."""
    both = Sdp.parse(f"v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/SAVP 0\n{LINE}\n")
    assert [stream.port for stream in answer(we("required"), both)[0].media] == [0, 10000]
    assert [stream.port for stream in answer(we("optional"), both)[0].media] == [10000, 0]


# ------------------------------------------------------------------ our offer


@pytest.mark.parametrize(
    ("srtp", "protocol", "suites"),
    [
        ("off", "RTP/AVP", []),
        ("optional", "RTP/AVP", [SHA80, SHA32, GCM]),
        ("required", "RTP/SAVP", [SHA80, SHA32, GCM]),
    ],
)
def test_our_offer_says_what_the_policy_wants(srtp: SrtpPolicy, protocol: str, suites: list[str]) -> None:
    """RFC 4568 §5.1.1, RFC 8643 §3: every line with a key and a tag of its own."""
    ours = audio(offer(we(srtp)))
    assert ours.protocol == protocol
    assert ours.cryptos == [Crypto(tag, suite, OURS[suite]) for tag, suite in enumerate(suites, 1)]


def test_their_answer_picks_one_of_our_lines() -> None:
    """Row 51: RFC 4568 §5.1.3: the tag tells which; the key is theirs."""
    proposed = offer(we("required"))
    plan = accept(we("required"), proposed, theirs("RTP/SAVP", f"a=crypto:2 {SHA32} inline:{KEY}"))
    assert plan.srtp == Srtp(SHA32, 2, send_key=OURS[SHA32], receive_key=KEY)


def test_who_does_not_care_for_keys_answers_an_optimistic_offer_in_plain() -> None:
    """RFC 8643 §3: then the call is plain; keys in an answer to none of ours mean nothing."""
    assert accept(we("optional"), offer(we("optional")), theirs("RTP/AVP")).srtp is None
    assert accept(we("off"), offer(we("off")), theirs("RTP/AVP", LINE)).srtp is None


@pytest.mark.parametrize("srtp", ["optional", "required"])
@pytest.mark.parametrize(
    "line",
    [
        f"a=crypto:4 {SHA80} inline:{KEY}",  # a tag that we did not offer
        f"a=crypto:1 {SHA32} inline:{KEY}",  # another suite under our tag
        f"a=crypto:1 {SHA80} inline:abc",
        f"a=crypto:1 {SHA80} inline:{KEY} UNENCRYPTED_SRTP",
    ],
)
def test_an_answer_with_keys_that_we_did_not_offer_is_refused(srtp: SrtpPolicy, line: str) -> None:
    """RFC 4568 §5.1.3: better no call than one that one side encrypts and the other cannot read."""
    with pytest.raises(SdpError):
        accept(we(srtp), offer(we(srtp)), theirs("RTP/SAVP" if srtp == "required" else "RTP/AVP", line))


@pytest.mark.parametrize("srtp", ["off", "optional", "required"])
def test_an_answer_of_rtp_savp_without_keys_is_refused(srtp: SrtpPolicy) -> None:
    with pytest.raises(SdpError):
        accept(we(srtp), offer(we(srtp)), theirs("RTP/SAVP"))


def test_a_required_key_is_not_given_up_by_the_answer() -> None:
    """The answer says RTP/AVP and no key: a call that would be heard on the way."""
    with pytest.raises(SdpError):
        accept(we("required"), offer(we("required")), theirs("RTP/AVP"))


def test_two_of_us_agree_on_keys() -> None:
    """What one sends is what the other receives."""
    near, far = we("required"), replace(we("optional"), keys=draw_keys(lambda size: bytes([7]) * size))
    proposed = offer(near)
    replied, far_plan = answer(far, proposed)
    near_plan = accept(near, proposed, replied)
    assert near_plan.srtp and far_plan.srtp
    assert near_plan.srtp.suite == far_plan.srtp.suite == SHA80
    assert near_plan.srtp.send_key == far_plan.srtp.receive_key != near_plan.srtp.receive_key


# ------------------------------------------------------------------ a standing call


def encoded(protocol: str, *lines: str) -> bytes:
    return theirs(protocol, *lines).encode().encode()


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/AVP"])
def test_hold_and_resume_keep_the_keys(protocol: str) -> None:
    """Row 51: RFC 4568 §7.1.4: the line that was agreed on is offered again, and the plan has the same keys."""
    call = Agreement(we("optional"))
    call.answer(encoded(protocol, f"a=crypto:5 {SHA32} inline:{KEY}"))
    before = call.plan
    assert before is not None
    for hold in (True, False):
        ours = audio(call.offer(hold=hold))
        assert (ours.protocol, ours.all("crypto")) == (protocol, [f"5 {SHA32} inline:{OURS[SHA32]}"])
        assert call.accept(encoded(protocol, f"a=crypto:5 {SHA32} inline:{KEY}")).srtp == before.srtp


def test_a_plain_call_stays_plain_when_it_is_held() -> None:
    """An optimistic offer in the middle of a call would change more than was asked."""
    call = Agreement(we("optional"))
    call.answer(encoded("RTP/AVP"))
    assert audio(call.offer(hold=True)).all("crypto") == []


def test_their_reinvite_may_bring_a_new_key_and_ours_stays() -> None:
    """Row 51: RFC 4568 §7.1.4."""
    call = Agreement(we("required"))
    call.answer(encoded("RTP/SAVP", LINE))
    replied = audio(call.answer(encoded("RTP/SAVP", f"a=crypto:1 {SHA80} inline:{NEXT_KEY}")))
    assert call.plan and call.plan.srtp == Srtp(SHA80, 1, send_key=OURS[SHA80], receive_key=NEXT_KEY)
    assert replied.all("crypto") == [f"1 {SHA80} inline:{OURS[SHA80]}"]


def test_a_reinvite_without_keys_does_not_strip_a_call_that_requires_them() -> None:
    """Row 21: refused, and the encrypted call goes on."""
    call = Agreement(we("required"))
    call.answer(encoded("RTP/SAVP", LINE))
    before = call.plan
    with pytest.raises(SdpError):
        call.answer(encoded("RTP/AVP"))
    assert call.plan == before


def test_a_hold_keeps_refused_streams_in_their_places() -> None:
    """RFC 3264 §8: a description of the same call has as many streams as the one before."""
    call = Agreement(we("required"))
    call.answer(encoded("RTP/SAVP", LINE, "m=video 5000 RTP/AVP 96"))
    held = Sdp.parse(call.offer(hold=True))
    assert [(stream.kind, stream.port) for stream in held.media] == [("audio", 10000), ("video", 0)]


# ------------------------------------------------------------------ the keys


def test_keys_are_as_long_as_their_suite_wants_and_drawn_apart() -> None:
    """RFC 4568 §6.2, RFC 7714 §12: master key and salt."""
    keys = draw_keys(lambda size: size.to_bytes(1, "big") * size)
    assert {suite: len(key_bytes(key)) for suite, key in keys.items()} == SUITES
    assert key_bytes(keys[GCM].rstrip("=")) == key_bytes(keys[GCM])  # some leave the padding out
    assert key_bytes("not base64") == key_bytes("") == b""


def test_a_plan_goes_over_the_link_with_its_keys_and_shows_them_to_nobody() -> None:
    """Logs, tracebacks and assertion messages print reprs."""
    _, plan = answer(we("optional"), theirs("RTP/SAVP", LINE + "|2^20|1:4"))
    assert plan.srtp is not None
    assert MediaPlan.load(plan.dump()) == plan
    shown = repr((plan, we("optional"), audio(theirs("RTP/SAVP", LINE)).cryptos))
    assert KEY not in shown
    assert OURS[SHA80] not in shown


def test_a_key_line_is_written_as_it_was_read() -> None:
    """RFC 4568 §9.1."""
    for text in (f"1 {SHA80} inline:{KEY}", f"12 {SHA32} inline:{KEY}|2^20|1:4 KDR=0 -x", "3 X inline:a|9"):
        assert str(Crypto.parse(text)) == text

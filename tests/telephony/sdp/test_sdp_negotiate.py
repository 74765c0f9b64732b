"""Offer and answer: what both sides will speak, where, and in which direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telephony.errors import SdpError
from telephony.sdp.description import Sdp
from telephony.sdp.negotiate import LocalMedia, accept, answer, numbered, offer
from telephony.sdp.plan import Direction, MediaPlan

LOCAL = LocalMedia("198.51.100.1", 10000, session_id=42, version=7)


def theirs(*lines: str, host: str = "203.0.113.5") -> Sdp:
    """Their description: an audio stream at port 4000 unless the lines say otherwise."""
    head = f"v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n"
    return Sdp.parse(head + "\n".join(lines or ("m=audio 4000 RTP/AVP 0 8",)))


def test_an_offer_is_answered_with_one_codec_and_events() -> None:
    """RFC 3264 §6.1: the first codec of the offer that we know, on their numbers."""
    audio = "m=audio 4000 RTP/AVP 18 8 0 96"
    sdp, plan = answer(LOCAL, theirs(audio, "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-15"))
    assert sdp.encode() == (
        "v=0\r\no=- 42 7 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
        "m=audio 10000 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n"
        "a=fmtp:96 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    )
    assert plan == MediaPlan(
        codec="PCMA",
        rate_hz=8000,
        clock_hz=8000,
        send_pt=8,
        receive_pts={8: "PCMA", 0: "PCMU"},
        remote=("203.0.113.5", 4000),
        dtmf_send_pt=96,
        dtmf_receive_pt=96,
    )
    assert MediaPlan.load(plan.dump()) == plan


def test_the_trunks_own_preference_can_beat_the_offers_order() -> None:
    """RFC 3264 §6.1 lets the answerer choose; some trunks are billed by codec."""
    pcma_first = replace(LOCAL, codecs=("PCMA", "PCMU"))
    assert answer(pcma_first, theirs())[1].codec == "PCMU"
    assert answer(replace(pcma_first, prefer_ours=True), theirs())[1].codec == "PCMA"
    assert answer(replace(LOCAL, codecs=("PCMA",)), theirs())[1].receive_pts == {8: "PCMA"}


def test_static_types_need_no_rtpmap_and_dynamic_ones_may_carry_g711() -> None:
    """RFC 3551 §6; the number on the wire is theirs."""
    assert answer(LOCAL, theirs("m=audio 4000 RTP/AVP 8"))[1].send_pt == 8
    sdp, plan = answer(LOCAL, theirs("m=audio 4000 RTP/AVP 109", "a=rtpmap:109 pcmu/8000/1"))
    assert (plan.codec, plan.send_pt, plan.receive_pts) == ("PCMU", 109, {109: "PCMU"})
    assert sdp.media[0].get("rtpmap") == "109 PCMU/8000"


def test_events_are_taken_on_the_clock_of_the_codec() -> None:
    """RFC 4733 §7.1: one telephone-event per clock; one on another clock only is none."""
    maps = (
        "a=rtpmap:110 telephone-event/48000",
        "a=rtpmap:126 telephone-event/8000",
        "a=rtpmap:111 opus/48000/2",
    )
    _, plan = answer(LOCAL, theirs("m=audio 4000 RTP/AVP 111 110 0 126", *maps))
    assert (plan.send_pt, plan.dtmf_send_pt) == (0, 126)
    assert answer(LOCAL, theirs("m=audio 4000 RTP/AVP 111 110 0", *maps))[1].dtmf_send_pt is None
    quiet = replace(LOCAL, dtmf=False)
    sdp, plan = answer(quiet, theirs("m=audio 4000 RTP/AVP 0 126", *maps))
    assert (plan.dtmf_receive_pt, sdp.media[0].formats) == (None, ["0"])


def test_every_stream_is_answered_in_order_and_the_unwanted_ones_with_port_zero() -> None:
    """Row 44: RFC 3264 §6: video, fax, encrypted and second audio streams."""
    sdp, plan = answer(
        LOCAL,
        theirs(
            "m=video 5000 RTP/AVP 96 97",
            "m=audio 4002 RTP/SAVP 0",
            "m=audio 4000 RTP/AVP 0",
            "m=audio 4004 RTP/AVP 0",
            "m=image 6000 udptl t38",
        ),
    )
    assert [(m.kind, m.port, m.protocol, m.formats) for m in sdp.media] == [
        ("video", 0, "RTP/AVP", ["96"]),
        ("audio", 0, "RTP/SAVP", ["0"]),
        ("audio", 10000, "RTP/AVP", ["0"]),
        ("audio", 0, "RTP/AVP", ["0"]),
        ("image", 0, "udptl", ["t38"]),
    ]
    assert plan.remote == ("203.0.113.5", 4000)


@pytest.mark.parametrize(
    "lines",
    [
        ("m=image 6000 udptl t38",),
        ("m=audio 0 RTP/AVP 0", "m=image 6000 udptl t38"),  # a T.38 re-INVITE: the old voice session goes on
        ("m=audio 4000 RTP/SAVP 0",),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0",),
        ("m=audio 4000 RTP/AVP 18 9",),
        ("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMU/16000"),
        ("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000/2"),
        ("m=audio 4000 RTP/AVP",),
        ("m=audio 4000 RTP/AVP " + "9" * 6000,),
        ("a=no-streams",),
    ],
)
def test_an_offer_without_a_stream_for_us_is_not_acceptable_here(lines: tuple[str, ...]) -> None:
    """RFC 3261 §21.4.26, RFC 3264 §6, RFC 3362 for the fax."""
    with pytest.raises(SdpError, match="we take audio over RTP/AVP in PCMU/PCMA") as caught:
        answer(LOCAL, theirs(*lines))
    assert caught.value.code == 488


def test_a_stream_switched_off_leaves_a_call_without_media() -> None:
    """Row 44: RFC 3264 §8.2: port 0 in a re-INVITE removes the stream, not the call."""
    sdp, plan = answer(LOCAL, theirs("m=audio 0 RTP/AVP 0"))
    assert sdp.media[0].port == 0
    assert plan.direction == "inactive"


@pytest.mark.parametrize(
    ("said", "ours", "holding"),
    [
        ("sendrecv", "sendrecv", "sendonly"),
        ("sendonly", "recvonly", "inactive"),
        ("recvonly", "sendonly", "sendonly"),
        ("inactive", "inactive", "inactive"),
    ],
)
def test_hold_and_resume_mirror_the_direction(said: str, ours: Direction, holding: Direction) -> None:
    """Row 46: RFC 3264 §6.1, §8.4: a hold answered with sendrecv makes carriers hang up."""
    held = theirs("m=audio 4000 RTP/AVP 0", f"a={said}")
    sdp, plan = answer(LOCAL, held)
    assert (plan.direction, sdp.media[0].direction) == (ours, ours)
    sdp, plan = answer(LOCAL, held, hold=True)
    assert (plan.direction, sdp.media[0].direction) == (holding, holding)


def test_the_old_way_to_hold_is_understood() -> None:
    """Row 46: RFC 3264 §8.4: c=0.0.0.0 means do not send to me."""
    sdp, plan = answer(LOCAL, theirs(host="0.0.0.0"))
    assert (plan.direction, sdp.media[0].direction) == ("recvonly", "recvonly")
    assert (
        answer(LOCAL, theirs("m=audio 4 RTP/AVP 0", "a=recvonly", host="0.0.0.0"))[1].direction == "inactive"
    )


@pytest.mark.parametrize(
    ("lines", "ptime_ms"),
    [((), 20), *[((f"a=ptime:{ms}",), ms) for ms in (10, 20, 30, 40, 60)]]
    + [(("a=ptime:25",), 20), (("a=ptime:5",), 10), (("a=ptime:200",), 60)]
    + [(("a=ptime:40", "a=maxptime:30"), 30), (("a=maxptime:10",), 10), (("a=ptime:what",), 20)],
)
def test_packets_are_as_long_as_they_ask(lines: tuple[str, ...], ptime_ms: int) -> None:
    """Row 49: RFC 8866 §6.4: in whole 10 ms between 10 and 60."""
    sdp, plan = answer(LOCAL, theirs("m=audio 4000 RTP/AVP 0", *lines))
    assert (plan.ptime_ms, sdp.media[0].ptime_ms) == (ptime_ms, ptime_ms)


def test_the_address_may_be_a_name_or_ipv6_but_not_missing_or_nonsense() -> None:
    """RFC 8866 §5.7."""
    assert answer(LOCAL, theirs(host="sbc_1.example.com"))[1].remote[0] == "sbc_1.example.com"
    v6 = Sdp.parse("v=0\nc=IN IP6 2001:db8::1\nm=audio 4000 RTP/AVP 0")
    assert answer(LOCAL, v6)[1].remote == ("2001:db8::1", 4000)
    for broken in (
        "m=audio 4000 RTP/AVP 0",
        "c=IN IP4\nm=audio 4000 RTP/AVP 0",
        "c=IN IP4 a\x01b\nm=audio 4000 RTP/AVP 0",
    ):
        with pytest.raises(SdpError) as caught:
            answer(LOCAL, Sdp.parse(broken))
        assert caught.value.code == 400


def test_the_answer_repeats_the_offers_times() -> None:
    """RFC 3264 §6: the t= line of the answer equals that of the offer."""
    timed = Sdp.parse("v=0\nc=IN IP4 192.0.2.1\nt=3724394400 3724398000\nm=audio 4000 RTP/AVP 0")
    assert answer(LOCAL, timed)[0].times == ["3724394400 3724398000"]


# ---- when we offer


def test_our_offer_lists_all_codecs_and_events() -> None:
    """RFC 3264 §5; also what answers an INVITE without offer (RFC 3261 §13.2.1)."""
    assert offer(LOCAL).encode() == (
        "v=0\r\no=- 42 7 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
        "m=audio 10000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    )
    v6 = offer(replace(LOCAL, address="2001:db8::2"), hold=True)
    assert "c=IN IP6 2001:db8::2\r\n" in v6.encode()
    assert v6.media[0].direction == "sendonly"


def test_two_of_us_agree() -> None:
    """Both ends of one negotiation come to mirrored plans."""
    proposal = offer(LOCAL)
    far = LocalMedia("203.0.113.5", 4000, codecs=("PCMA", "PCMU"))
    reply, far_plan = answer(far, Sdp.parse(proposal.encode()))
    near_plan = accept(LOCAL, proposal, Sdp.parse(reply.encode()))
    assert near_plan == MediaPlan(
        "PCMU",
        8000,
        8000,
        0,
        {0: "PCMU", 8: "PCMA"},
        ("203.0.113.5", 4000),
        dtmf_send_pt=101,
        dtmf_receive_pt=101,
    )
    assert (far_plan.codec, far_plan.remote) == ("PCMU", ("198.51.100.1", 10000))


def test_each_side_sends_with_the_other_sides_numbers() -> None:
    """Row 47: RFC 3264 §5.1: dynamic numbers may differ per direction; comfort noise in front is no codec."""
    reply = theirs("m=audio 4000 RTP/AVP 13 97 8", "a=rtpmap:97 telephone-event/8000", "a=ptime:40")
    plan = accept(LOCAL, offer(LOCAL), reply)
    assert (plan.codec, plan.send_pt, plan.ptime_ms) == ("PCMA", 8, 40)
    assert (plan.dtmf_send_pt, plan.dtmf_receive_pt) == (97, 101)
    assert plan.receive_pts == {0: "PCMU", 8: "PCMA"}


def test_an_answer_may_leave_out_the_rtpmap_that_we_sent() -> None:
    """Seen from gateways: the number alone then means what our offer said."""
    assert accept(LOCAL, offer(LOCAL), theirs("m=audio 4000 RTP/AVP 0 101")).dtmf_send_pt == 101
    assert accept(LOCAL, offer(LOCAL), theirs("m=audio 4000 RTP/AVP 0")).dtmf_receive_pt is None


@pytest.mark.parametrize(
    ("lines", "fact"),
    [
        (("m=audio 0 RTP/AVP 0",), "refuses our audio"),
        (("m=video 5000 RTP/AVP 96",), "refuses our audio"),
        (("a=empty",), "refuses our audio"),
        (("m=audio 4000 RTP/AVP 18",), "we offered PCMU/PCMA"),
    ],
)
def test_an_answer_that_does_not_fit_our_offer_is_refused(lines: tuple[str, ...], fact: str) -> None:
    """RFC 3264 §7."""
    with pytest.raises(SdpError, match=fact) as caught:
        accept(LOCAL, offer(LOCAL), theirs(*lines))
    assert caught.value.code == 488


@pytest.mark.parametrize(
    ("hold", "said", "ours"),
    [
        (False, "sendrecv", "sendrecv"),
        (False, "recvonly", "sendonly"),
        (False, "sendonly", "recvonly"),
        (True, "recvonly", "sendonly"),
        (True, "sendrecv", "sendonly"),  # not allowed by RFC 3264 §6.1, but seen: they do not get to talk
        (True, "inactive", "inactive"),
    ],
)
def test_the_direction_is_what_both_allow(hold: bool, said: str, ours: Direction) -> None:
    """RFC 3264 §6.1."""
    reply = theirs("m=audio 4000 RTP/AVP 0", f"a={said}")
    assert accept(LOCAL, offer(LOCAL, hold=hold), reply).direction == ours


def test_a_new_offer_keeps_the_places_and_numbers_of_the_session() -> None:
    """Row 44: RFC 3264 §8: no m= line may vanish; §8.3.2: a payload type keeps its meaning."""
    first = theirs("m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/8000")
    ours, _ = answer(LOCAL, first)
    again = offer(LOCAL, hold=True, previous=ours)
    assert [(m.kind, m.port) for m in again.media] == [("video", 0), ("audio", 10000)]
    assert again.media[1].formats == ["0", "8", "97"]
    assert again.media[1].direction == "sendonly"
    reply = theirs(
        "m=video 0 RTP/AVP 96", "m=audio 4000 RTP/AVP 0 97", "a=recvonly", "a=rtpmap:97 telephone-event/8000"
    )
    assert accept(LOCAL, again, reply).direction == "sendonly"


def test_a_number_that_meant_something_else_is_not_reused() -> None:
    """RFC 3264 §8.3.2: 101 was PCMA in this session, so events get a free number."""
    ours, _ = answer(LOCAL, theirs("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 PCMA/8000"))
    again = offer(LOCAL, previous=ours).media[0]
    assert again.formats == ["0", "101", "96"]
    assert again.payloads[96].name == "TELEPHONE-EVENT"


def test_the_version_grows_by_one_only_when_our_description_changes() -> None:
    """Row 45: RFC 3264 §8: an unchanged refresh repeats o=; a hold is a change."""
    first, _ = answer(LOCAL, theirs())
    same, _ = answer(replace(LOCAL, version=99), theirs("m=audio 4444 RTP/AVP 0 8"))
    assert numbered(same, first).encode() == first.encode()
    held, _ = answer(LOCAL, theirs("m=audio 4000 RTP/AVP 0 8", "a=sendonly"))
    changed = numbered(held, first)
    assert changed.origin is not None
    assert (changed.origin.session_id, changed.origin.version) == ("42", "8")
    assert numbered(first, None) is first

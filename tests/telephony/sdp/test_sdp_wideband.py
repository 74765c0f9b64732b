"""G.722 and Opus in offer and answer, with the telephone-event that belongs to their clock."""

from __future__ import annotations

import pytest

from telephony.sdp.description import Sdp
from telephony.sdp.negotiate import LocalMedia, accept, answer, offer
from telephony.sdp.plan import MediaPlan

WIDE = LocalMedia("198.51.100.1", 10000, ("OPUS", "G722", "PCMU"))
OPUS = ("a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/48000", "a=rtpmap:98 telephone-event/8000")


def theirs(*lines: str) -> Sdp:
    return Sdp.parse("v=0\no=- 1 1 IN IP4 203.0.113.5\ns=-\nc=IN IP4 203.0.113.5\nt=0 0\n" + "\n".join(lines))


def test_wideband_is_offered_with_one_telephone_event_for_each_clock() -> None:
    """RFC 7587 §7, RFC 3551 §4.5.2, RFC 4733 §7.1."""
    media = offer(WIDE).media[0]
    assert media.formats == ["111", "9", "0", "110", "101"]
    assert media.all("rtpmap") == [
        "111 opus/48000/2",
        "9 G722/8000",
        "0 PCMU/8000",
        "110 telephone-event/48000",
        "101 telephone-event/8000",
    ]
    assert media.fmtp(111) == "maxplaybackrate=16000;sprop-maxcapturerate=16000"
    assert media.fmtp(110) == media.fmtp(101) == "0-16"


def test_g722_is_taken_by_its_static_number() -> None:
    """Row 47: no rtpmap; 8000 is the clock, 16000 the sound. G.711 may still arrive."""
    sdp, plan = answer(WIDE, theirs("m=audio 4000 RTP/AVP 9 0 101", "a=rtpmap:101 telephone-event/8000"))
    assert sdp.media[0].all("rtpmap") == ["9 G722/8000", "101 telephone-event/8000"]
    assert (plan.codec, plan.rate_hz, plan.clock_hz, plan.send_pt) == ("G722", 16000, 8000, 9)
    assert (plan.receive_pts, plan.dtmf_send_pt) == ({9: "G722", 0: "PCMU"}, 101)
    assert MediaPlan.load(plan.dump()) == plan


def test_opus_is_answered_on_their_number_with_the_event_of_its_clock() -> None:
    """Row 47: the event on 48 kHz; codecs of another clock cannot share the stream (RFC 7160 §3)."""
    sdp, plan = answer(WIDE, theirs("m=audio 4000 RTP/AVP 96 0 97 98", *OPUS))
    assert sdp.media[0].all("rtpmap") == ["96 opus/48000/2", "97 telephone-event/48000"]
    assert (plan.codec, plan.rate_hz, plan.clock_hz) == ("OPUS", 16000, 48000)
    assert (plan.receive_pts, plan.dtmf_send_pt, plan.dtmf_receive_pt) == ({96: "OPUS"}, 97, 97)


def test_their_numbers_are_sent_and_ours_are_received() -> None:
    """Row 47: dynamic types differ per direction (RFC 3264 §6.1)."""
    plan = accept(WIDE, offer(WIDE), theirs("m=audio 4000 RTP/AVP 96 97", *OPUS))
    assert (plan.send_pt, plan.receive_pts) == (96, {111: "OPUS"})
    assert (plan.dtmf_send_pt, plan.dtmf_receive_pt) == (97, 110)


@pytest.mark.parametrize(
    ("ptime", "g722_ms", "opus_ms"), [(10, 10, 10), (30, 30, 20), (50, 50, 40), (5, 10, 10)]
)
def test_a_packet_is_as_long_as_the_codec_can_make_it(ptime: int, g722_ms: int, opus_ms: int) -> None:
    """Row 49: Opus has no packets of 30 or 50 ms (RFC 7587 §4.2)."""
    length = f"a=ptime:{ptime}"
    assert answer(WIDE, theirs("m=audio 4000 RTP/AVP 9", length))[1].ptime_ms == g722_ms
    assert answer(WIDE, theirs("m=audio 4000 RTP/AVP 96", *OPUS, length))[1].ptime_ms == opus_ms


def test_opus_is_always_offered_with_two_channels() -> None:
    """RFC 7587 §4.1: anything else is another codec."""
    with pytest.raises(Exception, match="we take audio over RTP/AVP in OPUS/G722/PCMU"):
        answer(WIDE, theirs("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000"))

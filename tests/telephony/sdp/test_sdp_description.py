"""Session descriptions as carriers, PBXs, softphones and browsers write them."""

from __future__ import annotations

import pytest

from telephony.errors import SdpError
from telephony.sdp.crypto import Crypto
from telephony.sdp.description import Origin, RtpMap, Sdp

PLAIN = (
    "v=0\r\no=- 3930 3931 IN IP4 203.0.113.5\r\ns=call\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
)


def test_a_plain_description_is_read_and_written_unchanged() -> None:
    """RFC 8866 §5: the order of lines is fixed."""
    sdp = Sdp.parse(PLAIN.encode())
    audio = sdp.media[0]
    assert sdp.origin == Origin("3930", "3931", "203.0.113.5")
    assert (audio.kind, audio.port, audio.protocol, audio.formats) == (
        "audio",
        4000,
        "RTP/AVP",
        ["8", "0", "101"],
    )
    assert audio.payloads == {
        8: RtpMap("PCMA", 8000),
        0: RtpMap("PCMU", 8000),
        101: RtpMap("TELEPHONE-EVENT", 8000),
    }
    assert (audio.fmtp(101), audio.fmtp(8), audio.ptime_ms, audio.direction) == ("0-16", "", 20, "sendrecv")
    assert sdp.encode() == PLAIN


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\r\n\r\n", " \r\n\0"])
def test_any_line_end_will_do(end: str) -> None:
    """Row 50: RFC 8866 §5 asks parsers to take a bare LF."""
    assert Sdp.parse(PLAIN.replace("\r\n", end)).encode() == PLAIN


def test_missing_session_lines_and_unknown_attributes_do_not_matter() -> None:
    """Row of trunks in the field: no s= value, no t=, no o=, b= and large t=, attributes nobody knows."""
    sdp = Sdp.parse(
        "v=0\ns=\nb=AS:84\nt=3724394400 3724398000\nt=1 2\nk=clear:x\na=X-nat:0\nm=audio 4000/2 rtp/avp 0\n"
        "i=title\nb=TIAS:64000\na=silenceSupp:off - - - -\na\n=x\nzz=1\n"
        "c=IN IP4 pbx.example.com\nc=IN IP4 192.0.2.9\n"
    )
    audio = sdp.media[0]
    assert (sdp.origin, sdp.name, sdp.times) == (None, "-", ["3724394400 3724398000", "1 2"])
    assert (sdp.host, sdp.host_of(audio)) == (None, "pbx.example.com")
    assert (audio.protocol, audio.bandwidths) == ("rtp/avp", ["TIAS:64000"])
    assert audio.get("silencesupp") == "off - - - -"


def test_the_address_of_a_stream_beats_that_of_the_session() -> None:
    """Row 50: RFC 8866 §5.7; a TTL behind a slash is no part of the address."""
    sdp = Sdp.parse(
        "v=0\nc=IN IP4 192.0.2.1/127\nm=audio 1 RTP/AVP 0\nm=audio 2 RTP/AVP 0\nc=IN IP6 2001:db8::1\n"
    )
    assert [sdp.host_of(media) for media in sdp.media] == ["192.0.2.1", "2001:db8::1"]
    assert "c=IN IP6 2001:db8::1\r\n" in sdp.encode()


def test_direction_is_the_streams_own_else_the_sessions_else_sendrecv() -> None:
    """RFC 8866 §6.7."""
    sdp = Sdp.parse("v=0\na=inactive\nm=audio 1 RTP/AVP 0\na=sendonly\nm=audio 2 RTP/AVP 0\n")
    assert [sdp.direction_of(media) for media in sdp.media] == ["sendonly", "inactive"]
    plain = Sdp.parse("m=audio 1 RTP/AVP 0\n")
    assert plain.direction_of(plain.media[0]) == "sendrecv"


def test_payload_types_mean_what_their_rtpmap_says() -> None:
    """RFC 3551 §6 for the static ones; an rtpmap wins; types that mean nothing or are not listed stay out."""
    audio = Sdp.parse(
        "m=audio 1 RTP/AVP 9 0 111 96 97 200 * 18\na=rtpmap:0 pcma/8000\na=rtpmap:111 opus/48000/2\n"
        "a=rtpmap:96 broken\na=rtpmap:98 PCMU/8000\na=rtpmap:97 L16/99999999999\n"
    ).media[0]
    assert audio.payloads == {
        9: RtpMap("G722", 8000),
        0: RtpMap("PCMA", 8000),
        111: RtpMap("OPUS", 48000, 2),
        18: RtpMap("G729", 8000),
    }
    assert [str(meaning) for meaning in audio.payloads.values()][2] == "opus/48000/2"


@pytest.mark.parametrize(
    ("line", "ptime_ms"),
    [("20", 20), ("30.0", 30), (" 60", 60), ("0", None), ("", None), ("x", None), ("²", None)],
)
def test_packet_length(line: str, ptime_ms: int | None) -> None:
    """RFC 8866 §6.4."""
    assert (
        Sdp.parse(f"m=audio 1 RTP/AVP 0\na=ptime:{line}\na=maxptime:{line}\n").media[0].ptime_ms == ptime_ms
    )


@pytest.mark.parametrize(
    ("attributes", "port"),
    [("", 4001), ("a=rtcp:4444 IN IP4 192.0.2.1\n", 4444), ("a=rtcp:4444\na=rtcp-mux\n", 4000)],
)
def test_where_rtcp_goes(attributes: str, port: int) -> None:
    """Row 50: RFC 3550 §11, RFC 3605, RFC 5761."""
    assert Sdp.parse(f"m=audio 4000 RTP/AVP 0\n{attributes}").media[0].rtcp_port == port


def test_srtp_keys_with_lifetime_and_mki() -> None:
    """RFC 4568 §9.1; a line that makes no sense is left out."""
    audio = Sdp.parse(
        "m=audio 1 RTP/SAVP 0\n"
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32\n"
        "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:abc=|1:4 UNENCRYPTED_SRTCP\n"
        "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:xyz==|2^31\n"
        "a=crypto:x\n"
    ).media[0]
    assert audio.cryptos == [
        Crypto(1, "AES_CM_128_HMAC_SHA1_80", "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "2^20", "1:32"),
        Crypto(2, "AES_CM_128_HMAC_SHA1_32", "abc=", "", "1:4", ("UNENCRYPTED_SRTCP",)),
        Crypto(3, "AES_CM_128_HMAC_SHA1_80", "xyz==", "2^31", ""),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "\r\n\r\n",
        "m=audio\n",
        "m=audio x RTP/AVP 0\n",
        "m=audio 70000 RTP/AVP 0\n",
        "m=audio -1 RTP/AVP 0\n",
        "a" * 70000,
    ],
)
def test_what_is_no_description_is_refused_as_a_bad_request(body: str) -> None:
    """RFC 3261 §21.4.1: 400, not 488, because nothing was offered."""
    with pytest.raises(SdpError) as caught:
        Sdp.parse(body)
    assert caught.value.code == 400


def test_a_description_with_hundreds_of_streams_is_refused() -> None:
    """Every m= line must be answered, so a small offer could demand a long answer."""
    with pytest.raises(SdpError, match="fewer streams"):
        Sdp.parse("v=0\n" + "m=audio 1 RTP/AVP 0\n" * 300)

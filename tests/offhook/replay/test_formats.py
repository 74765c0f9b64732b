"""The same conversation in every format: both sides, their times, levels and keys come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offhook.replay.recording import Reading, Recording, RecordingError, find, read, read_all
from tests.offhook.replay.makers import (
    CALLER_AT_S,
    ENCODERS,
    INTERRUPTS_AT_S,
    LENGTH_S,
    LINKS,
    SECRETS,
    Talk,
    at_rate,
    clip,
    encoded,
    fragments,
    lag_ms,
    level_db,
    pcap,
    pcapng,
    rf64,
    sides,
    stereo,
    tcp,
    wav_of,
)


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def same_call(found: Recording, *, lag: float = 20.0, level: float = 1.0) -> None:
    """Sound, times and levels of makers.sides, on the right sides."""
    caller, agent = sides()
    assert found.agent is not None and len(found.agent) == len(found.caller)
    assert abs(found.duration_s - LENGTH_S) < 0.2
    for ours, theirs in ((found.caller, caller), (found.agent, agent)):
        assert abs(lag_ms(ours, found.rate_hz, theirs)) <= lag
        # Half of the samples are silence of different kinds: levels are compared over all of the call.
        assert abs(level_db(ours) - level_db(theirs)) < level
    first, second = found.utterances
    assert abs(first.start_s - CALLER_AT_S) < 0.12 and first.follows == "agent" and first.offset_s > 0.3
    assert abs(second.start_s - INTERRUPTS_AT_S) < 0.12 and second.follows == "agent"
    assert second.offset_s < 0 and second.into_s is not None and 0.8 < second.into_s < 1.2
    assert abs(first.end_s - CALLER_AT_S - len(clip("appointment")) / 8000) < 0.2


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("extensible", [False, True])
def test_wav_of_every_sample_format_is_read(tmp_path: Path, kind: str, extensible: bool) -> None:
    found = read(written(tmp_path, "call.wav", wav_of(kind, stereo(), extensible=extensible)))
    same_call(found, lag=0.1)
    assert found.rate_hz == 8000
    assert "left" in found.notes[0]


@pytest.mark.parametrize(
    ("rate_hz", "wanted"),
    [(6000, 8000), (11025, 8000), (16000, 16000), (22050, 16000), (44100, 16000), (48000, 16000)],
)
def test_wav_of_any_rate_becomes_a_rate_of_calls_without_moving(
    tmp_path: Path, rate_hz: int, wanted: int
) -> None:
    found = read(written(tmp_path, "call.wav", wav_of("pcm16", stereo(rate_hz), rate_hz)))
    assert found.rate_hz == wanted
    same_call(found, lag=1.0, level=2.0)


def test_pcm16_comes_back_to_the_sample(tmp_path: Path) -> None:
    found = read(written(tmp_path, "call.wav", wav_of("pcm16", stereo())))
    assert np.array_equal(found.caller, sides()[0])
    assert found.agent is not None and np.array_equal(found.agent, sides()[1])


def test_rf64_and_lengths_that_were_never_filled_in_are_read_to_the_end(tmp_path: Path) -> None:
    data = stereo().tobytes()
    same_call(read(written(tmp_path, "long.wav", rf64(data))), lag=0.1)
    whole = wav_of("pcm16", stereo())
    at = whole.index(b"data") + 4
    for length in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        found = read(written(tmp_path, "stream.wav", whole[:at] + length + whole[at + 4 :]))
        same_call(found, lag=0.1)
        assert any("does not say how long" in note for note in found.notes)


def test_a_wav_that_is_cut_off_is_read_as_far_as_it_goes_and_says_so(tmp_path: Path) -> None:
    whole = wav_of("pcm16", stereo())
    found = read(written(tmp_path, "call.wav", whole[: len(whole) // 2]))
    assert abs(found.duration_s - LENGTH_S / 2) < 0.1
    assert any("cut off" in note for note in found.notes)


@pytest.mark.parametrize(
    ("suffix", "container", "codec", "rate_hz", "lag"),
    [
        ("mp3", "mp3", "mp3", 16000, 80.0),
        ("ogg", "ogg", "vorbis", 16000, 10.0),
        ("opus", "ogg", "libopus", 48000, 10.0),
        ("flac", "flac", "flac", 8000, 0.2),
        ("m4a", "ipod", "aac", 16000, 70.0),
        ("wav", "wav", "adpcm_ima_wav", 8000, 1.0),
        ("au", "au", "pcm_mulaw", 8000, 0.2),
    ],
)
def test_compressed_sound_is_read(
    tmp_path: Path, suffix: str, container: str, codec: str, rate_hz: int, lag: float
) -> None:
    data = encoded(container, codec, stereo(rate_hz), rate_hz)
    found = read(written(tmp_path, f"call.{suffix}", data))
    same_call(found, lag=20.0, level=2.0)


def test_the_caller_may_be_on_the_right(tmp_path: Path) -> None:
    path = written(tmp_path, "call.wav", wav_of("pcm16", stereo()[:, ::-1]))
    same_call(read(path, Reading(caller_channel="right")), lag=0.1)
    assert any("speaks first" in note for note in read(path).notes), "the agent is taken for the caller"


def test_one_channel_is_both_sides_unless_it_is_said_whose_it_is(tmp_path: Path) -> None:
    caller, agent = sides()
    path = written(tmp_path, "mixed.wav", wav_of("pcm16", caller + agent // 2))
    with pytest.raises(RecordingError, match="mixed.wav: one channel: .* --mono caller or --mono agent"):
        read(path)
    mixed = read(path, Reading(mono="mixed"))
    assert mixed.agent is None and any("both sides are mixed" in note for note in mixed.notes)
    alone = read(written(tmp_path, "caller.wav", wav_of("pcm16", caller)), Reading(mono="caller"))
    assert alone.notes == () and [one.follows for one in alone.utterances] == ["start", "silence"]
    assert abs(alone.utterances[0].offset_s - CALLER_AT_S) < 0.12
    agents = read(path, Reading(mono="agent"))
    assert not agents.caller.any() and agents.agent is not None and agents.utterances == ()


@pytest.mark.parametrize("link", LINKS)
def test_a_capture_of_every_link_type_is_read(tmp_path: Path, link: str) -> None:
    found = read(written(tmp_path, "call.pcap", pcap(Talk().whole("42#"), link)))
    same_call(found)
    assert [key.digit for key in found.keys] == list("42#")
    assert all(abs(key.at_s - 10.0 - index / 2) < 0.02 for index, key in enumerate(found.keys))
    assert (found.facts["caller"], found.facts["called"]) == ("+4930123456", "100")
    assert found.facts["headers"]["x-campaign"] == "spring"
    assert found.facts["started"] == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize(("order", "nano"), [("<", True), (">", False), (">", True)])
def test_captures_of_either_byte_order_and_clock_are_read(tmp_path: Path, order: str, nano: bool) -> None:
    same_call(read(written(tmp_path, "call.pcap", pcap(Talk().whole(), order=order, nano=nano))))


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_two_interfaces_of_other_links_and_clocks_is_read(tmp_path: Path, order: str) -> None:
    same_call(read(written(tmp_path, "call.pcapng", pcapng(Talk().whole(), order))))


@pytest.mark.parametrize(
    ("codec", "pt", "rate_hz"), [("PCMA", 8, 8000), ("G722", 9, 16000), ("opus", 111, 16000)]
)
def test_captured_codecs_are_decoded(tmp_path: Path, codec: str, pt: int, rate_hz: int) -> None:
    found = read(written(tmp_path, "call.pcap", pcap(Talk(codec, pt).whole())))
    assert found.rate_hz == rate_hz
    same_call(found, lag=25.0, level=2.5)


def test_a_capture_of_ipv6_is_read(tmp_path: Path) -> None:
    same_call(read(written(tmp_path, "call.pcap", pcap(Talk(v6=True).whole()))))


def test_fragmented_sip_is_put_together(tmp_path: Path) -> None:
    talk = Talk()
    caller, agent = sides()
    packets = [part for one in talk.over_udp(talk.signalling()) for part in fragments(one)]
    packets += talk.over_udp(talk.bye()) + talk.rtp(caller, True) + talk.rtp(agent, False)
    same_call(read(written(tmp_path, "call.pcap", pcap(packets))))


def test_sip_over_tcp_is_read_in_segments_out_of_order_and_sent_twice(tmp_path: Path) -> None:
    talk = Talk()
    caller, agent = sides()
    ends = (talk.caller[0], 33333), (talk.server[0], 5060)
    packets, counts = talk.rtp(caller, True) + talk.rtp(agent, False), {True: 0xFFFFFF00, False: 5}
    for at, from_caller, data in talk.signalling() + talk.bye():
        way = ends if from_caller else ends[::-1]
        begin, half = counts[from_caller], len(data) // 2
        parts = [(begin, data[:half]), (begin + half, data[half:])]
        order = parts if at == talk.begins - 1.0 else [parts[1], parts[0], parts[1]]
        packets += [tcp(at + n / 1e4, *way, seq & 0xFFFFFFFF, part) for n, (seq, part) in enumerate(order)]
        counts[from_caller] += len(data)
    same_call(read(written(tmp_path, "call.pcap", pcap(packets))))


def test_lost_reordered_and_doubled_packets_are_concealed_and_noted(tmp_path: Path) -> None:
    talk = Talk()
    caller, agent = sides()
    voice = talk.rtp(caller, True)
    kept = [one for index, one in enumerate(voice) if index % 25 != 7]
    for index in range(10, len(kept) - 1, 40):
        (early, first), (late, second) = kept[index], kept[index + 1]
        kept[index], kept[index + 1] = (early, second), (late, first)
    packets = talk.over_udp(talk.signalling() + talk.bye()) + kept + kept[100:110] + talk.rtp(agent, False)
    found = read(written(tmp_path, "call.pcap", pcap(packets)))
    same_call(found, lag=25.0)
    assert any("packets are missing" in note for note in found.notes)


def test_several_calls_in_one_capture_are_several_recordings(tmp_path: Path) -> None:
    calls = [Talk(number=1), Talk("PCMA", 8, begins=1_700_000_003.0, number=2)]
    refused = Talk(number=3)
    packets = [packet for talk in calls for packet in talk.whole("7")]
    packets += refused.over_udp(
        [
            *refused.signalling(answered=False),
            (refused.begins, False, refused.sip("SIP/2.0 486 Busy Here", "INVITE", True)),
        ]
    )
    path = written(tmp_path, "calls.pcap", pcap(packets))
    found = read_all(path)
    assert [one.name for one in found] == ["calls#1", "calls#2"]
    for one in found:
        same_call(one)
        assert [key.digit for key in one.keys] == ["7"]
    with pytest.raises(RecordingError, match="holds 2 calls"):
        read(path)


def test_a_caller_on_hold_is_silent_for_that_time_and_a_note_says_when(tmp_path: Path) -> None:
    talk = Talk()
    caller, agent = sides()
    holds = talk.sip("INVITE sip:100@x SIP/2.0", "INVITE", True, talk.sdp(talk.caller, "sendonly"), cseq=2)
    back = talk.sip("INVITE sip:100@x SIP/2.0", "INVITE", True, talk.sdp(talk.caller), cseq=3)
    rows = [
        *talk.signalling(),
        (talk.begins + 3.5, True, holds),
        (talk.begins + 7.0, True, back),
        *talk.bye(),
    ]
    packets = talk.over_udp(rows) + talk.rtp(caller, True) + talk.rtp(agent, False)
    found = read(written(tmp_path, "call.pcap", pcap(packets)))
    assert not found.caller[round(3.7 * 8000) : round(6.9 * 8000)].any()
    assert [round(one.start_s) for one in found.utterances] == [8]
    assert (
        "the caller holds the call from 3.5 s" in found.notes and "the caller is back at 7.0 s" in found.notes
    )


def test_a_capture_of_srtp_is_opened_with_the_keys_of_its_descriptions(tmp_path: Path) -> None:
    """SDES (RFC 4568). The numbers of the packets wrap, and a second INVITE in between keeps the keys: the context that
    knows of the wrap has to stay (RFC 3711 §3.3.1)."""
    caller, agent = sides()
    talk = Talk(secrets=(SECRETS[0], SECRETS[1]))
    again = talk.sip("INVITE sip:100@x SIP/2.0", "INVITE", True, talk.sdp(talk.caller), cseq=2)
    rows = [*talk.signalling(), (talk.begins + 2.0, True, again), *talk.bye()]
    packets = talk.over_udp(rows) + talk.rtp(caller, True) + talk.rtp(agent, False)
    found = read(written(tmp_path, "call.pcap", pcap(packets)))
    same_call(found)
    assert not any("encrypted" in note for note in found.notes)


def test_a_capture_of_srtp_without_its_keys_is_refused_and_says_what_to_capture(tmp_path: Path) -> None:
    """As with DTLS, or with SIP over TLS of which only the media were captured in clear."""
    caller, agent = sides()
    for secrets in (("", ""), (SECRETS[0], "")):
        talk = Talk(secrets=secrets)
        packets = talk.over_udp(talk.signalling() + talk.bye())
        packets += talk.rtp(caller, True) + talk.rtp(agent, False)
        with pytest.raises(RecordingError, match=r"packets of SRTP, and no key .*a=crypto lines \(SDES\)"):
            read(written(tmp_path, "call.pcap", pcap(packets)))


def test_a_caller_behind_nat_whose_sdp_names_a_private_address_is_heard(tmp_path: Path) -> None:
    talk = Talk()
    caller, agent = sides()
    rows = talk.signalling() + talk.bye()
    hidden = [(at, way, data.replace(b"IP4 192.0.2.10", b"IP4 10.0.0.7")) for at, way, data in rows]
    packets = talk.over_udp(hidden) + talk.rtp(caller, True) + talk.rtp(agent, False)
    same_call(read(written(tmp_path, "call.pcap", pcap(packets))))


def test_rtp_without_sip_is_paired_by_address_and_says_what_is_not_known(tmp_path: Path) -> None:
    talk = Talk()
    caller, agent = sides()
    packets = talk.rtp(agent, False) + talk.rtp(caller, True) + talk.key("5", 10.0)
    path = written(tmp_path, "call.pcap", pcap(packets))
    found = read(path)
    assert any("no SIP" in note for note in found.notes)
    flipped = {"left": "right", "right": "left"}
    best = min(
        (read(path, Reading(caller_channel=side)) for side in ("left", "right")),
        key=lambda one: abs(lag_ms(one.caller, 8000, caller)),
    )
    assert flipped and abs(lag_ms(best.caller, 8000, caller)) <= 45


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("empty.wav", b"", "is empty"),
        ("head.wav", wav_of("pcm16", np.zeros((0, 2), np.int16)), "holds no sound"),
        ("cut.wav", wav_of("pcm16", stereo())[:30], "cut off"),
        ("text.wav", b"hello, this is no recording at all", "cannot be decoded"),
        ("text.pcap", b"hello, this is no recording at all", "is no pcap"),
        ("call.vcon", b'{"vcon": "0.4.0", "uuid": "x", "dialog": []}', "no recording in it"),
        ("thing.json", b'{"name": "package"}', "no vCon"),
        ("head.pcap", b"\xd4\xc3\xb2\xa1\2\0\4\0", "header is cut off"),
        ("void.pcap", pcap([]), "neither SIP nor RTP"),
        (
            "list.mp3",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://192.0.2.1/a.mp3\n",
            "cannot be decoded",
        ),
    ],
)
def test_what_holds_no_call_is_refused_with_place_fact_and_remedy(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    with pytest.raises(RecordingError, match=told) as caught:
        read_all(written(tmp_path, name, data))
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_refused_call_says_with_which_code(tmp_path: Path) -> None:
    talk = Talk()
    rows = [
        *talk.signalling(answered=False),
        (talk.begins, False, talk.sip("SIP/2.0 486 Busy Here", "INVITE", True)),
    ]
    with pytest.raises(RecordingError, match="refused with 486"):
        read(written(tmp_path, "call.pcap", pcap(talk.over_udp(rows))))


def test_a_silent_file_is_a_recording_in_which_nobody_speaks(tmp_path: Path) -> None:
    found = read(written(tmp_path, "call.wav", wav_of("pcm16", np.zeros((80000, 2), np.int16))))
    assert found.utterances == () and found.duration_s == 10
    assert any("whole call is silent" in note for note in found.notes)


def test_headers_that_promise_the_impossible_are_refused(tmp_path: Path) -> None:
    good = wav_of("pcm16", stereo())
    for at, value in ((22, b"\xff\xff"), (24, b"\xff\xff\xff\xff"), (24, b"\0\0\0\0")):  # channels, rate
        with pytest.raises(RecordingError):
            read(written(tmp_path, "call.wav", good[:at] + value + good[at + len(value) :]))


def test_a_small_file_that_unpacks_to_hours_is_refused_while_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FLAC of zeros takes a hundredth of what it unpacks to; the limit is 6 h, here a minute."""
    data = encoded("flac", "flac", np.zeros((4000 * 600, 1), np.int16), 4000)
    monkeypatch.setattr("offhook.replay.formats.sound.LONGEST_S", 60)
    with pytest.raises(RecordingError, match="which is no call"):
        read(written(tmp_path, "bomb.flac", data))


def test_folders_are_searched_and_bundles_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "2026" / "call").mkdir(parents=True)
    (tmp_path / "2026" / "call" / "call.json").write_text("{}")
    (tmp_path / "2026" / "call" / "audio.wav").write_bytes(b"")
    wanted = [
        tmp_path / "2026" / "call",
        written(tmp_path, "a.MP3", b"x"),
        written(tmp_path, "b.vcon.json", b"x"),
    ]
    written(tmp_path, "notes.txt", b"x")
    written(tmp_path, ".hidden.wav", b"x")
    assert sorted(find([tmp_path, tmp_path / "a.MP3"])) == sorted(wanted)
    with pytest.raises(RecordingError, match="no such file"):
        find([tmp_path / "gone"])
    (tmp_path / "void").mkdir()
    with pytest.raises(RecordingError, match="holds no recording"):
        find([tmp_path / "void"])


def test_a_recording_is_plain_data(tmp_path: Path) -> None:
    found = read(written(tmp_path, "call.wav", wav_of("pcm16", at_rate(stereo(), 8000))))
    assert replace(found, name="x").name == "x"

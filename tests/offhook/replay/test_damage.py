"""Five hundred damaged recordings: each is read or refused with a RecordingError, whatever is wrong with it.

And long ones: three hours take the memory of one copy.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offhook.errors import RecordingError
from offhook.replay.formats.vcon import content_hash
from offhook.replay.recording import Recording, read_all
from tests.offhook.replay.makers import Talk, encoded, pcap, pcapng, rf64, sides, stereo, tcp, wav_of
from tests.offhook.replay.vcons import bundle, vcon

VARIANTS = 500
SEED = 3550
SHORT = 12000  # samples: 1.5 s
MOST_S = 6.1 * 3600


def short_talk() -> list[tuple[float, bytes]]:
    talk = Talk()
    caller, agent = (side[32000 : 32000 + SHORT] for side in sides())
    rows = talk.signalling() + talk.bye(1.5)
    packets = talk.over_udp(rows) + talk.rtp(caller, True) + talk.rtp(agent, False) + talk.key("5", 1.0)
    ends = (talk.caller[0], 3333), (talk.server[0], 5060)
    return packets + [tcp(at, *(ends if way else ends[::-1]), 1, data) for at, way, data in rows[:1]]


def goods() -> dict[str, bytes]:
    """One small good file of every format."""
    sound = stereo()[32000 : 32000 + SHORT]
    wide = stereo(16000)[64000 : 64000 + 2 * SHORT]
    return {
        "plain.wav": wav_of("pcm16", sound),
        "deep.wav": wav_of("pcm24", sound, extensible=True),
        "float.wav": wav_of("float32", sound),
        "ulaw.wav": wav_of("ulaw", sound),
        "long.wav": rf64(sound.tobytes()),
        "adpcm.wav": encoded("wav", "adpcm_ima_wav", sound, 8000),
        "call.mp3": encoded("mp3", "mp3", wide, 16000),
        "call.opus": encoded("ogg", "libopus", stereo(48000)[192000 : 192000 + 6 * SHORT], 48000),
        "call.flac": encoded("flac", "flac", sound, 8000),
        "call.m4a": encoded("ipod", "aac", wide, 16000),
        "call.pcap": pcap(short_talk()),
        "cooked.pcap": pcap(short_talk(), "cooked", ">", nano=True),
        "call.pcapng": pcapng(short_talk()),
        "call.vcon.json": json.dumps(vcon(wav_of("pcm16", sound))).encode(),
    }


def wounded(data: bytes, dice: random.Random) -> bytes:
    """Cut off, overwritten, shortened, doubled, or with a number blown up; mostly near the beginning."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        reach = len(out) if dice.random() < 0.4 else min(len(out), 300)
        at = dice.randrange(max(1, reach))
        match dice.randrange(6):
            case 0:
                del out[at + dice.randrange(max(1, len(out) - at)) :]
            case 1:
                out[at : at + 1] = dice.randbytes(1)
            case 2:
                out[at : at + 4] = dice.choice(
                    [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80", b"\xff\xff\xff\x7f"]
                )
            case 3:
                del out[at : at + dice.randint(1, 40)]
            case 4:
                out[at:at] = out[at : at + dice.randint(1, 200)]
            case 5:
                out[at : at + 16] = dice.randbytes(16)
    return bytes(out)


def sound(recording: Recording) -> None:
    """What holds for everything that is read."""
    assert recording.rate_hz in (8000, 16000)
    assert recording.caller.dtype == np.int16 and recording.caller.ndim == 1
    assert 0 < recording.duration_s < MOST_S
    assert recording.agent is None or recording.agent.shape == recording.caller.shape
    for one in recording.utterances:
        assert 0 <= one.start_s <= one.end_s <= recording.duration_s + 0.1
    assert all(key.at_s >= 0 and key.digit in "0123456789ABCD*#" for key in recording.keys)


def test_five_hundred_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    good = goods()
    outcomes = {True: 0, False: 0}
    for variant in range(VARIANTS):
        name = list(good)[variant % len(good)]
        path = tmp_path / name
        path.write_bytes(wounded(good[name], dice))
        try:
            for recording in read_all(path):
                sound(recording)
            outcomes[True] += 1
        except RecordingError as error:
            assert str(path) in str(error) and str(error).rstrip().endswith((".", "?")), str(error)
            outcomes[False] += 1
    assert min(outcomes.values()) > VARIANTS // 10, outcomes


def test_every_good_file_of_the_damaged_ones_is_read(tmp_path: Path) -> None:
    """Else the test above tests nothing."""
    for name, data in goods().items():
        (tmp_path / name).write_bytes(data)
        (found,) = read_all(tmp_path / name)
        sound(found)
        assert abs(found.duration_s - 1.5) < 0.25, name


def test_damaged_bundles_are_read_or_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    good = {file: file.read_bytes() for file in path.iterdir()}
    dice = random.Random(SEED)
    for _ in range(60):
        hurt = dice.choice(list(good))
        for file, data in good.items():
            file.write_bytes(wounded(data, dice) if file == hurt else data)
        try:
            sound(read_all(path)[0])
        except RecordingError:
            continue


JSON_WOUNDS: list[Callable[[dict[str, object]], object]] = [
    lambda one: one.update(dialog="x"),
    lambda one: one.update(parties={"0": {}}),
    lambda one: one.update(analysis=[{"type": "transcript", "body": "[[[", "encoding": "json"}, 5, None]),
    lambda one: one.update(
        analysis=[{"type": "transcript", "body": [{"start": "x", "text": 5}, {"start": -1e300}]}]
    ),
    lambda one: one.update(attachments=[{"purpose": "offhook-call", "body": "{", "encoding": "none"}]),
    lambda one: one.update(critical=["unheard-of"]),
    lambda one: one["dialog"][0].update(start="yesterday"),  # type: ignore[index]
    lambda one: one["dialog"][0].update(start=-1e12),  # type: ignore[index]
    lambda one: one["dialog"][0].update(parties=[[[]], {}]),  # type: ignore[index]
    lambda one: one["dialog"][0].update(parties=[99, -1], originator=True),  # type: ignore[index]
    lambda one: one["dialog"][0].update(body="!!!"),  # type: ignore[index]
    lambda one: one["dialog"][0].update(body="", url="../../etc/passwd"),  # type: ignore[index]
    lambda one: one["dialog"][0].update(body="", url="http://[broken"),  # type: ignore[index]
    lambda one: one["dialog"][0].update(party_history=[{"event": "dtmfdown", "dtmf": None, "time": {}}]),  # type: ignore[index]
    lambda one: one["dialog"].append(one["dialog"][0] | {"start": "2999-01-01T00:00:00Z"}),  # type: ignore[attr-defined, index]
]


@pytest.mark.parametrize("wound", JSON_WOUNDS)
def test_a_vcon_that_is_json_but_says_nonsense_is_read_or_refused(
    tmp_path: Path, wound: Callable[[dict[str, object]], object]
) -> None:
    document = vcon(wav_of("pcm16", stereo()[32000 : 32000 + SHORT]))
    wound(document)
    path = tmp_path / "call.vcon"
    path.write_text(json.dumps(document))
    try:
        sound(read_all(path)[0])
    except RecordingError as error:
        assert "passwd" not in str(error) or str(tmp_path / "passwd") in str(error)


def test_three_hours_are_read_within_twice_their_size(tmp_path: Path) -> None:
    """3 h of stereo at 8000 Hz are 346 MB; a process of its own tells what reading them takes at most."""
    hours = tmp_path / "long.wav"
    body = bytes(3 * 3600 * 8000 * 4)
    head = wav_of("pcm16", np.zeros((0, 2), np.int16))
    with hours.open("wb") as file:
        file.write(head[:-4] + len(body).to_bytes(4, "little"))
        file.truncate(len(head) + len(body))  # a hole: zeros that take no disk
    code = (
        "import resource, sys; from pathlib import Path; from offhook.replay.recording import read;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "found = read(Path(sys.argv[1]));"
        "print(found.duration_s, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, found.notes[-1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(hours)], capture_output=True, text=True, check=True, timeout=100
    )
    seconds, megabytes = (float(word) for word in done.stdout.split()[:2])
    assert seconds == 3 * 3600
    assert megabytes < 2 * 346 + 100, megabytes
    assert "the whole call is silent" in done.stdout


def test_the_hash_of_a_file_is_that_of_the_draft() -> None:
    """draft-ietf-vcon-vcon-core: sha512, a hyphen, base64url without padding."""
    digest = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-DGNKHfuwvY7kxvUdBeoGlODJ6-SfaPg"
    assert content_hash(b"") == f"sha512-{digest}"

"""One call in every format that QA holds is the same conversation when it is replayed (quality.md E 12)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offhook.bundle import Record
from offhook.softphone import read_clip
from tests.offhook.replay.makers import Pcm, Talk, at_rate, encoded, pcap, wav_of
from tests.offhook.replay.recorded import STORY, caller_wav, kinds, replayed
from tests.offhook.replay.vcons import vcon

NEAR_S = 0.0201  # one frame of voice activity


def _stereo(pcm: Pcm, rate_hz: int = 8000) -> Pcm:
    return np.stack([at_rate(pcm, rate_hz), np.zeros(len(at_rate(pcm, rate_hz)), np.int16)], axis=1)


def _captured(pcm: Pcm) -> bytes:
    talk = Talk()
    packets = talk.over_udp(talk.signalling() + talk.bye(len(pcm) / 8000))
    return pcap(packets + talk.rtp(pcm, True) + talk.rtp(np.zeros_like(pcm), False))


FORMATS: dict[str, Callable[[Pcm], bytes]] = {
    "ulaw.wav": lambda pcm: wav_of("ulaw", _stereo(pcm)),
    "alaw.wav": lambda pcm: wav_of("alaw", _stereo(pcm)),
    "call.flac": lambda pcm: encoded("flac", "flac", _stereo(pcm), 8000),
    "call.mp3": lambda pcm: encoded("mp3", "mp3", _stereo(pcm, 16000), 16000),
    "call.opus": lambda pcm: encoded("ogg", "libopus", _stereo(pcm, 48000), 48000),
    "call.pcap": _captured,
    "call.vcon.json": lambda pcm: json.dumps(vcon(wav_of("pcm16", _stereo(pcm)))).encode(),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pcm, Record]:
    """The story as stereo PCM, and its replay."""
    folder = tmp_path_factory.mktemp("plain")
    pcm = read_clip(caller_wav(folder / "alone.wav", STORY))
    (folder / "call.wav").write_bytes(wav_of("pcm16", _stereo(pcm)))
    return pcm, replayed(folder / "call.wav", folder / "out")


def _turns(record: Record) -> list[tuple[str, float]]:
    """What was understood, and when it had been said."""
    return [(turn["text"], turn["spoke_until"]) for turn in kinds(record, "UserTurnCommitted")]


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_replays_to_the_same_turns_in_every_format(
    plain: tuple[Pcm, Record], tmp_path: Path, name: str
) -> None:
    pcm, wanted = plain
    path = tmp_path / name
    path.write_bytes(FORMATS[name](pcm))
    found = _turns(replayed(path, tmp_path / "out"))
    assert [text for text, _ in found] == [text for text, _ in _turns(wanted)]
    late = [now - then for (_, now), (_, then) in zip(found, _turns(wanted), strict=True)]
    assert all(abs(one) <= NEAR_S for one in late), late
    assert len(found) == len(STORY)

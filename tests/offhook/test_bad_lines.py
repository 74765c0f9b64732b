"""What a caller says is understood on a bad line: from the packets as they arrive to the recogniser's text.

The shipped clips through encoder, line (tests/impairment.py), Receiver, voice activity and the embedded recogniser, in
virtual time. The same on a real call: tests/live/test_bad_line_calls.py.
"""

from __future__ import annotations

import struct
import wave
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.hearing.preroll import Preroll
from pipeline.hearing.vad import VoiceActivity, VoiceStarted, VoiceStopped
from pipeline.ports import Final, Hints
from pipeline.providers.pocketsphinx import Recogniser
from pipeline.providers.pocketsphinx_engine import Decoders
from pipeline.providers.scripted import phrases_of
from pipeline.providers.silero import GatedSileroVad
from telephony.dialplan.load import load_plan
from telephony.dialplan.match import match
from telephony.media.codecs import open_codec
from telephony.media.receiving import Receiver
from telephony.sdp.plan import MediaPlan
from tests.impairment import Conditions, Timed, carried

Pcm = NDArray[np.int16]

ROOT = Path(__file__).parents[2]
AGENTS = match(load_plan(ROOT / "dialplans" / "demo.yaml"), "100").agents
SAID = {  # clip: whom it is said to, what it says
    "opening_hours": ("reception", "what are your opening hours"),
    "opening_hours_kal": ("reception", "what are your opening hours"),
    "bill": ("reception", "i have a question about my bill"),
    "bill_kal": ("reception", "i have a question about my bill"),
    "appointment": ("reception", "i would like to make an appointment"),
    "appointment_kal": ("reception", "i would like to make an appointment"),
    "friday": ("reception", "on friday"),
    "operator": ("reception", "can i speak to a person please"),
    "invoice_number": ("billing", "four two seven one"),
    "no_thank_you": ("billing", "no thank you"),
    "yes": ("billing", "yes"),
    "no": ("billing", "no"),
    "goodbye": ("billing", "that is all goodbye"),
    "goodbye_kal": ("billing", "that is all goodbye"),
}
SEEDS = range(3)
PHONE = ("192.0.2.1", 4000)
DONE_S = 0.5  # quiet for so long: the caller has finished
DECODERS = Decoders()


def sound(clip: str, before_s: float = 1.0, behind_s: float = 1.2) -> Pcm:
    """A clip with digital silence around it, as a phone sends it."""
    with wave.open(str(ROOT / "tests" / "recordings" / f"{clip}.wav")) as file:
        said = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.concatenate([np.zeros(int(8000 * before_s)), said, np.zeros(int(8000 * behind_s))]).astype(
        np.int16
    )


@cache
def sent(clip: str, codec: str = "PCMU") -> tuple[Timed, ...]:
    """What the phone sends for a clip: a packet each 20 ms, G.711 or G.722 (whose clock is 8000 Hz too)."""
    encoder, pcm = open_codec(codec, 8000), sound(clip)
    return tuple(
        (
            0.02 * n,
            struct.pack("!BBHII", 0x80, 0, n, 160 * n, 0xCA11) + encoder.encode(pcm[160 * n : 160 * n + 160]),
        )
        for n in range(len(pcm) // 160)
    )


@dataclass
class Heard:
    """What came of one clip. delays_ms: what the jitter buffer held after each tick, the frame played included."""

    texts: list[str] = field(default_factory=list)
    delays_ms: list[int] = field(default_factory=list)


def listen(arrivals: list[Timed], agent: str, codec: str = "PCMU") -> Heard:
    """A worker's ear: every 20 ms a frame out of the receiver into voice activity and recogniser."""
    script = AGENTS[agent].script
    assert script is not None
    hints = Hints(phrases_of(script.model_dump(mode="json")))
    receiver = Receiver(MediaPlan(codec, 8000, 8000, 0, {0: codec}, PHONE, 101, 101), rate_hz=8000)
    activity, preroll = VoiceActivity(GatedSileroVad()), Preroll()
    recogniser = Recogniser(DECODERS, rate_hz=8000, hints=hints)
    heard, waiting, stopped = Heard(), iter([*arrivals, (1e9, b"")]), None
    at, packet = next(waiting)
    for tick in range(round(50 * (arrivals[-1][0] + 0.4))):
        now = 0.003 + 0.02 * tick
        while at <= now:
            receiver.datagram(memoryview(packet), len(packet), PHONE, at)
            at, packet = next(waiting)
        frame = receiver.frame(now)
        heard.delays_ms.append(receiver.jitter.queued_units // 8 + 20)
        change = activity.heard(frame, now)
        if (pcm := preroll.push(frame)) is not None:
            recogniser.push(pcm)
        if isinstance(change, VoiceStarted):
            stopped = None
            if (before := preroll.start()) is not None:
                recogniser.start(before)
        elif isinstance(change, VoiceStopped):
            stopped = now
        if stopped is not None and now - stopped >= DONE_S:
            stopped = None
            preroll.end()
            heard.texts.append(understood(recogniser))
    recogniser.close()
    return heard


def understood(recogniser: Recogniser) -> str:
    """The text of the turn that is over; in brackets if the recogniser does not believe it."""
    recogniser.end()
    while recogniser.busy:
        for event in recogniser.step(1000):
            if isinstance(event, Final):
                return event.text if event.understood else f"({event.text})"
    raise AssertionError("the turn's end was not answered")


def misheard(conditions: Conditions, seeds: range = SEEDS, codec: str = "PCMU") -> tuple[list[str], int]:
    """Every clip through a line, with every seed. Returns what was not understood, and the longest delay in ms."""
    wrong, longest = [], 0
    for clip, (agent, text) in SAID.items():
        for seed in seeds:
            heard = listen(carried(sent(clip, codec), conditions, seed), agent, codec)
            longest = max(longest, *heard.delays_ms)
            if heard.texts != [text]:
                wrong.append(f"{clip}, seed {seed}: {heard.texts}")
    return wrong, longest


def test_on_a_good_line_every_clip_is_understood_once() -> None:
    """What the lines below are compared with: one turn, its text, and the delay of a line without jitter."""
    assert misheard(Conditions(), range(1)) == ([], 40)


@pytest.mark.parametrize(
    "line",
    [
        Conditions(loss=0.03),
        Conditions(jitter_s=0.06),
        Conditions(loss=0.03, jitter_s=0.06),
        Conditions(loss=0.03, jitter_s=0.06, in_order=False),
    ],
)
def test_three_percent_of_loss_and_60_ms_of_jitter_change_no_word(line: Conditions) -> None:
    """Row 55: the same text as on a good line, all clips, whichever packets it hits."""
    wrong, longest = misheard(line)
    assert wrong == []
    assert longest <= 160


def test_everything_at_once_changes_no_word() -> None:
    """Rows 53, 55, 65: loss, jitter, detours, doubled packets, a slow clock, and another SSRC in mid-sentence."""
    line = Conditions(
        loss=0.02,
        jitter_s=0.06,
        detour=0.03,
        duplicated=0.05,
        skew_ppm=100,
        restarts_at=(40, 90),
    )
    wrong, longest = misheard(line)
    assert wrong == []
    assert longest <= 200


def test_g722_bears_the_same_line() -> None:
    """RFC 3551 §4.5.2: its decoder keeps state across a hole, which must not cost more than the hole."""
    assert misheard(Conditions(loss=0.03, jitter_s=0.06), range(2), "G722")[0] == []


@pytest.mark.parametrize(
    ("line", "of_42"),
    [
        (Conditions(loss=0.05), 41),
        (Conditions(burst_begins=0.0167, burst_ends=0.33), 40),  # 5 % in bursts of 60 ms
        (Conditions(burst_begins=0.028, burst_ends=0.25), 36),  # 10 % in bursts of 80 ms: syllables are gone
    ],
)
def test_on_a_worse_line_nearly_all_is_understood(line: Conditions, of_42: int) -> None:
    """A floor, not a promise: concealment cannot bring back a digit that was lost as a whole."""
    wrong, longest = misheard(line)
    assert 42 - len(wrong) >= of_42, wrong
    assert longest <= 200

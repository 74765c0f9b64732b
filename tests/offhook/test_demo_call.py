"""The demo, as a newcomer runs it, and its recording listened to: levels, gaps, both sides beside the event log."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from offhook.bundle import Bundle, bundles
from offhook.demo.show import run
from pipeline.ports import Voice
from pipeline.providers.espeak import EspeakTts
from pipeline.speaking.resample import Resampler
from pipeline.speaking.sentence import Sentences

ROOT = Path(__file__).parents[2]
RATE_HZ = 8000
FRAME = RATE_HZ // 50
VOICED_RMS = 60.0  # about -55 dBFS
LONGEST_GAP_MS = 40
VOICES = {"reception": "en-us+f3", "billing": "en-gb"}

Samples = NDArray[np.int16]
Event = dict[str, Any]


def _levels(samples: Samples) -> NDArray[np.float64]:
    """RMS of each 20 ms."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    levels: NDArray[np.float64] = np.sqrt((frames**2).mean(axis=1))
    return levels


def _dbfs(samples: Samples) -> float:
    voiced = [level for level in _levels(samples) if level > VOICED_RMS]
    return float(20 * np.log10(np.sqrt(np.mean(np.square(voiced))) / 32768))


async def _synthesised(text: str, voice: str) -> Samples:
    """What the voice made of a text, before it went through the call."""
    tts = EspeakTts()
    stream = await tts.open(Voice(voice))
    sentences, resampler = Sentences(), Resampler(tts.rate_hz, RATE_HZ)
    for piece in [*sentences.feed(text), *sentences.finish()]:
        stream.say(piece.strip())
    stream.finish()
    return np.concatenate([*[resampler.feed(chunk.pcm) async for chunk in stream], resampler.finish()])


def _longest_gap_ms(recorded: Samples, said: Samples) -> float:
    """The longest stretch in which the voice sounds and the recording is silent, both laid over each other."""
    spectrum = np.fft.rfft(recorded, 2 * len(recorded)) * np.conj(np.fft.rfft(said, 2 * len(recorded)))
    shift = int(np.argmax(np.fft.irfft(spectrum)[: len(recorded)]))
    heard, meant = (_levels(side)[: len(said) // FRAME - 1] for side in (recorded[shift:], said))
    missing = (meant > 5 * VOICED_RMS)[: len(heard)] & (heard < VOICED_RMS)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(int), [0]))))
    return max(((end - start) * 20.0 for start, end in edges.reshape(-1, 2)), default=0.0)


@pytest.mark.timeout(150)
@pytest.mark.alone
async def test_the_demo_goes_as_its_story_says_and_its_recording_matches_the_event_log(
    tmp_path: Path,
) -> None:
    """Levels, no hole inside speech, both channels where the journal says that somebody spoke."""
    calls = tmp_path / "calls"
    with (tmp_path / "screen.txt").open("w", encoding="utf-8") as screen:
        departures = await run(
            ROOT / "tests/recordings", ROOT / "dialplans/demo.yaml", calls, Console(file=screen)
        )
    assert departures == []
    (path,) = bundles(calls)
    record = Bundle.open(path)
    with wave.open(str(record.audio_path)) as audio:
        assert (audio.getnchannels(), audio.getframerate(), audio.getsampwidth()) == (2, RATE_HZ, 2)
        sides = np.frombuffer(audio.readframes(audio.getnframes()), np.int16).reshape(-1, 2)
    caller, agent = sides[:, 0], sides[:, 1]
    answered = next(event["at"] for event in record.events if event["type"] == "CallAnswered")
    assert len(caller) / RATE_HZ == pytest.approx(record.facts["duration_s"], abs=0.1)
    assert -30 < _dbfs(caller) < -10
    assert -30 < _dbfs(agent) < -10
    _both_sides_are_where_the_journal_says(record.events, caller, agent, answered)
    spans = _spans(record.events, "AgentStartedSpeaking", "AgentSpoke")
    spoke = [event for event in record.events if event["type"] == "AgentSpoke"]
    for (since, until), event in zip(spans, spoke, strict=True):
        recorded = agent[
            int(max(0.0, since - answered - 0.1) * RATE_HZ) : int((until - answered + 0.1) * RATE_HZ)
        ]
        said = await _synthesised(event["planned"] or event["text"], VOICES[event["agent"]])
        said = said[: event["heard_ms"] * RATE_HZ // 1000]
        assert _longest_gap_ms(recorded, said) <= LONGEST_GAP_MS, event["text"]


def _both_sides_are_where_the_journal_says(
    events: tuple[Event, ...], caller: Samples, agent: Samples, answered: float
) -> None:
    for since, until in _spans(events, "AgentStartedSpeaking", "AgentSpoke"):
        first, last = _heard_between(agent, since - answered, until - answered)
        assert first == pytest.approx(since - answered, abs=0.1), (
            "the agent's voice begins where the log says"
        )
        assert last == pytest.approx(until - answered, abs=0.1), "and ends there"
    for event in events:
        if event["type"] == "CallerStartedSpeaking":
            first, _ = _heard_between(caller, event["since"] - answered - 0.5, event["at"] - answered + 0.5)
            assert first == pytest.approx(event["since"] - answered, abs=0.2), (
                "the caller is heard where the log says"
            )


def _spans(events: tuple[Event, ...], begins: str, ends: str) -> list[tuple[float, float]]:
    starts = [event["at"] for event in events if event["type"] == begins]
    stops = [event["at"] for event in events if event["type"] == ends]
    assert len(starts) == len(stops) > 0
    return list(zip(starts, stops, strict=True))


def _heard_between(samples: Samples, start_s: float, end_s: float) -> tuple[float, float]:
    """First and last voiced 20 ms in a stretch of one channel, in s from the answer."""
    begin = max(0, int(start_s * 50))
    voiced = np.flatnonzero(_levels(samples)[begin : int(end_s * 50)] > VOICED_RMS)
    assert len(voiced), f"nothing is heard from {start_s:.2f} to {end_s:.2f} s"
    return (begin + int(voiced[0])) / 50, (begin + int(voiced[-1]) + 1) / 50

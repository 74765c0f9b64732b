"""A recorded call placed as a real one: SIP and RTP, with the recording in the caller's mouth.

On the wall clock, against a running server, of which nothing is known but what is heard. The bundle is the server's
own, where its calls_dir can be read; else it has our sound and no more events than a phone sees."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import wave
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from offhook.bundle import FACTS, Bundle, bundles, iso, read_facts
from offhook.errors import BundleError, OffhookError
from offhook.replay.caller import AgentSide, make_caller
from offhook.replay.options import ReplayOptions
from offhook.replay.recording import Recording
from offhook.softphone import TALKING_RMS, CallResult, Ear, Frame, at_rate, place_call

ANSWER_S = 60.0  # for ringing, and for an agent that talks longer than it did
AT_REST_S = 0.5  # quiet for so long: it is the caller's turn
RECORD_S = 15.0  # until the server has written its record
POLL_S = 0.1


class RecordedTalker:
    """The recorded caller on a softphone's line."""

    def __init__(
        self,
        recording: Recording,
        options: ReplayOptions,
        rate_hz: int,
        press: Callable[[str], None],
        hang_up: Callable[[], None],
    ) -> None:
        self.spoken: list[str] = []
        self.ear = Ear()
        self.caller = make_caller(_at_rate(recording, rate_hz), options.caller)
        self._press, self._hang_up = press, hang_up
        self._agent = AgentSide()
        self._base: float | None = None

    def hear(self, frame: Frame, now: float) -> None:
        """20 ms of the server: is the agent talking?"""
        self._base = now if self._base is None else self._base
        self.ear.heard(frame, now)
        samples, now_s = frame.astype(np.float32), now - self._base
        if float(np.sqrt(np.dot(samples, samples) / len(samples))) > TALKING_RMS:
            self._agent.spoke(now_s)
        self._agent.at_rest = now_s - self._agent.last_s > AT_REST_S

    def speak(self, now: float) -> Frame | None:
        """20 ms of the recording, or the silence between."""
        now_s = now - (now if self._base is None else self._base)
        frame: Frame | None = self.caller.frame(now_s, self._agent)
        for key in self.caller.pressed():
            self._press(key)
        if self.caller.gone(now_s, self._agent):
            self._hang_up()
        return frame


def replay_over_sip(recording: Recording, options: ReplayOptions, identity: str) -> Path:
    """Phone options.via with the recording. Returns the bundle's folder. Raises OffhookError, TelephonyError."""
    return asyncio.run(_phone(recording, options, identity))


async def _phone(recording: Recording, options: ReplayOptions, identity: str) -> Path:
    talkers: list[RecordedTalker] = []

    def talker(rate_hz: int, press: Callable[[str], None], hang_up: Callable[[], None]) -> RecordedTalker:
        talkers.append(RecordedTalker(recording, options, rate_hz, press, hang_up))
        return talkers[0]

    started = datetime.now(UTC)
    name = f"replay-{hashlib.sha256(f'{identity} {iso(started)}'.encode()).hexdigest()[:12]}"
    options.out.mkdir(parents=True, exist_ok=True)
    sound = options.out / f".{identity}.wav"
    try:
        result = await place_call(
            options.via,
            (),
            record=sound,
            timeout_s=recording.duration_s + ANSWER_S,
            caller=f"sip:{name}@127.0.0.1",
            codecs=("G722", "PCMU", "PCMA") if recording.rate_hz > 8000 else ("PCMU", "PCMA"),
            talker=talker,
        )
        facts = {
            "replay": {
                "source": recording.name,
                **options.facts(),
                "seconds": round(recording.duration_s, 3),
                "placed": [placed.facts() for placed in talkers[0].caller.placed],
                "notes": list(recording.notes),
            }
        }
        if options.server_calls is not None:
            theirs = await _server_record(options.server_calls, name, started)
            return _copied(theirs, options.out, identity, facts)
        return _own(options, identity, started, sound, result, facts)
    finally:
        sound.unlink(missing_ok=True)


async def _server_record(folder: Path, caller: str, since: datetime) -> Path:
    """The server's bundle of the call from this caller, once it is complete."""
    day = since.strftime("%Y-%m-%d")
    try:
        async with asyncio.timeout(RECORD_S):
            while True:
                for path in bundles(folder):
                    if path.parent.name >= day and _is_ours(path, caller):
                        return path
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise OffhookError(
            f"{folder}: no record of our call. Is that the calls_dir of the server?"
        ) from error


def _is_ours(path: Path, caller: str) -> bool:
    try:
        facts = read_facts(path)
    except BundleError:
        return False
    return facts.get("caller") == caller and "ended" in facts


def _copied(theirs: Path, out: Path, identity: str, facts: dict[str, Any]) -> Path:
    place = out / theirs.parent.name / identity
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(theirs, place)
    known = {**read_facts(place), **facts}
    (place / FACTS).write_text(json.dumps(known, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    _speed(place, float(known.get("duration_s", 0.0)))
    return place


def _own(
    options: ReplayOptions,
    identity: str,
    started: datetime,
    sound: Path,
    result: CallResult,
    facts: dict[str, Any],
) -> Path:
    called = options.via.removeprefix("sip:").partition("@")[0]
    with Bundle.create(
        options.out, identity, started, {"direction": "inbound", "called": called, **facts}
    ) as bundle:
        rows: list[tuple[float, dict[str, Any]]] = [
            (0.0, {"type": "CallArrived", "caller": "", "called": called}),
            (0.0, {"type": "CallAnswered", "setup_ms": round(result.answered_after_s * 1000, 1)}),
            (
                result.duration_s,
                {"type": "CallEnded", "by": result.ended_by, "code": result.code, "reason": ""},
            ),
        ]
        for at, row in rows:
            bundle.append(row, at, started)
        bundle.close({"ended": iso(datetime.now(UTC)), "duration_s": round(result.duration_s, 3)})
    _swap_sides(sound, bundle.audio_path)
    _speed(bundle.path, result.duration_s)
    return bundle.path


def _swap_sides(sound: Path, into: Path) -> None:
    """The softphone has what it heard on the left; a bundle has the caller there."""
    with wave.open(str(sound), "rb") as heard, wave.open(str(into), "wb") as swapped:
        swapped.setparams(heard.getparams())
        pairs = np.frombuffer(heard.readframes(heard.getnframes()), "<i2").reshape(-1, 2)
        swapped.writeframes(np.ascontiguousarray(pairs[:, ::-1]).tobytes())


def _speed(place: Path, wall_s: float) -> None:
    speed = {"call_s": round(wall_s, 3), "cpu_s": 0.0, "wall_s": round(wall_s, 3)}
    (place / "speed.json").write_text(json.dumps(speed) + "\n", encoding="utf-8")


def _at_rate(recording: Recording, rate_hz: int) -> Recording:
    if recording.rate_hz == rate_hz:
        return recording
    caller = at_rate(recording.caller, recording.rate_hz, rate_hz)
    agent = None if recording.agent is None else at_rate(recording.agent, recording.rate_hz, rate_hz)
    return replace(recording, rate_hz=rate_hz, caller=caller, agent=agent)

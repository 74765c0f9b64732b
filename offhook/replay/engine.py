"""One recorded call through the unchanged pipeline: the caller's sound in, a bundle out.

The session is cast from a dial plan's route as a worker does it (offhook/worker/casting.py), the media path is the
stream's without the packets: tones heard, session, playout, recorder. On a virtual clock the same input gives the
same bytes. Not how recordings are read (recording.py) nor many of them (jobs.py)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from offhook.bundle import Bundle, iso
from offhook.errors import RecordingError
from offhook.link import StartCall
from offhook.replay.caller import TICK_S, AgentSide, make_caller
from offhook.replay.options import ReplayOptions
from offhook.replay.original import Original
from offhook.replay.over_sip import replay_over_sip
from offhook.replay.phone import ReplayPhone
from offhook.replay.recording import Recording
from offhook.replay.tapes import Tapes
from offhook.usage import Tally
from offhook.worker.casting import Casting
from offhook.worker.on_call import OnCall
from pipeline.errors import PipelineError
from pipeline.events import Event, dump
from pipeline.providers.espeak_engine import begin_anew
from pipeline.virtual_clock import outside
from pipeline.virtual_clock import run as run_virtually
from pipeline.wall_clock import telling
from telephony.dialplan.condition import CallFacts
from telephony.dialplan.load import load_plan
from telephony.dialplan.match import Plan, match, route_to
from telephony.dialplan.model import Persona, Route
from telephony.errors import NoSuchNumber, SentElsewhere
from telephony.media.playout import Playout
from telephony.media.presses import Presses
from telephony.media.recorder import Recorder
from telephony.media.tones_heard import TonesHeard

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # when a call of unknown date began
WAITS_S = 20.0  # for what still runs when the call is over


def replay(recording: Recording, options: ReplayOptions) -> Path:
    """Replay one call. Returns the bundle's folder, whose name depends on the recording alone.

    Raises RecordingError if the plan does not take the call, PipelineError if its agents cannot be made."""
    if options.via:
        return replay_over_sip(recording, options, call_id(recording))
    plan = _plan(options.plan, options.plan.read_bytes())
    route = find_route(plan, recording, options)
    if not options.realtime:
        _refuse_one_model(route, options)
    begin_anew()

    async def call() -> Path:
        return await ReplayedCall(recording, route, options).run()

    return asyncio.run(call()) if options.realtime else run_virtually(call)


@lru_cache(maxsize=4)
def _plan(path: Path, text: bytes) -> Plan:
    """Read once, not for every call. text: what the file holds, so that a plan that was edited is another one."""
    return load_plan(path)


def call_id(recording: Recording) -> str:
    """Of the bundle: the same for the same recording, whatever the options, so that runs can be compared."""
    digest = hashlib.sha256(recording.caller.tobytes())
    digest.update(
        repr((recording.rate_hz, recording.keys, sorted(recording.facts.get("called", "")))).encode()
    )
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in recording.name)
    return f"{safe.lstrip('._-')[:80] or 'call'}-{digest.hexdigest()[:10]}"


def find_route(plan: Plan, recording: Recording, options: ReplayOptions) -> Route:
    """Who takes the call. Raises RecordingError."""
    called = options.to or str(recording.facts.get("called", ""))
    caller = str(recording.facts.get("caller", ""))
    if options.agent:
        if options.agent not in plan.teams:
            known = ", ".join(plan.teams)
            raise RecordingError(
                f"{plan.path}: no agent {options.agent!r}. Known: {known}. Choose one of them."
            )
        return route_to(plan, options.agent, called or "replay", caller)
    if not called:
        raise RecordingError(
            f"{recording.source}: does not say who was called. Give --to NUMBER or --agent NAME."
        )
    try:
        return match(plan, _facts_of_call(recording, options, called, caller))
    except (NoSuchNumber, SentElsewhere) as error:
        raise RecordingError(f"{recording.source}: {error} Or give --to NUMBER or --agent NAME.") from error


def _facts_of_call(recording: Recording, options: ReplayOptions, called: str, caller: str) -> CallFacts:
    """As the plan saw the call when it came: by which trunk, with which headers, at which hour, in which share."""
    known = recording.facts
    seed = f"-{options.seed}" if options.seed else ""
    return CallFacts(
        called,
        caller,
        str(known.get("trunk", "")),
        known.get("headers") or {},
        Original.of(recording).started,
        call_id=f"{known.get('sip_call_id') or call_id(recording)}{seed}",
    )


def _refuse_one_model(route: Route, options: ReplayOptions) -> None:
    """Speech-to-speech models answer on a line of their own, in their own time. Raises RecordingError."""
    for name, persona in route.agents.items():
        if isinstance(persona, Persona) and persona.realtime is not None:
            raise RecordingError(
                f"{options.plan}: agent {name!r} is played by a speech-to-speech model ({persona.realtime.name}), of "
                "which there is no tape and no virtual clock. Replay with --realtime, or phone a server with --via."
            )


class ReplayedCall:
    """One call while it is replayed."""

    def __init__(self, recording: Recording, route: Route, options: ReplayOptions) -> None:
        self._recording, self._route, self._options = recording, route, options
        self._original = Original.of(recording)
        self._loop = asyncio.get_running_loop()
        self._caller = make_caller(recording, options.caller)
        self._agent = AgentSide()
        self._tones = TonesHeard(recording.rate_hz)
        self._presses = Presses()
        self._tally = Tally()
        self._zero = self._base = self._loop.time()  # 0.0 on a virtual clock, not on the wall's
        self._ticks = 0
        self._over: asyncio.Future[tuple[str, str]] = self._loop.create_future()
        self._started = self._original.started or EPOCH

    async def run(self) -> Path:
        """The whole call. Returns its bundle."""
        with telling(self._wall):
            return await self._run()

    def _wall(self) -> datetime:
        """When it is, on the recorded call."""
        return self._started + timedelta(seconds=self._loop.time() - self._zero)

    async def _run(self) -> Path:
        spent = time.process_time(), time.perf_counter()
        identity, options = call_id(self._recording), self._options
        self._bundle = Bundle.create(options.out, identity, self._started, self._facts())
        path = self._bundle.path
        recorder = None
        if self._route.recording != "off":
            recorder = Recorder(self._bundle.audio_path, self._recording.rate_hz)
        if recorder is not None and self._route.recording == "announce":
            recorder.pause()
        try:
            with self._bundle:
                report = await self._hold(identity, recorder)
                self._conclude(report)
        finally:
            if recorder is not None:
                recorder.close()
        _write_speed(
            path, self._ticks * TICK_S, time.process_time() - spent[0], time.perf_counter() - spent[1]
        )
        return path

    async def _hold(self, identity: str, recorder: Recorder | None) -> dict[str, Any]:
        """Everything between picking up and hanging up. Returns what there is to say of the tape."""
        recording, options = self._recording, self._options
        casting = Casting(options.providers, None)
        self._recorder = recorder
        self._out = Playout(recording.rate_hz)
        self._phone = ReplayPhone(
            self._route,
            recording.rate_hz,
            self._bundle.path,
            recorder,
            self._hang_up,
            self._original.transfers,
        )
        tapes = Tapes(
            options,
            recording.source,
            self._bundle.path,
            {} if options.realtime else self._original.latencies_s,
            self._emit,
            lambda: self._caller.position,
            lambda: recorder.samples if recorder is not None else 0,
            masked=self._route.cassette == "masked",
        )
        self._deck = tapes.deck
        start = self._start(identity)
        on_call = OnCall(start.call_id, start.rate_hz, self._emit, deck=tapes.deck)
        try:
            self._session = casting.session(
                start, self._route, on_call, self._out, self._phone, lambda state: None
            )
            with outside(frozen=True):
                await casting.open()
            await self._session.prepare()
            await self._talk()
        finally:
            with outside(frozen=True):
                await casting.aclose()
            tapes.deck.close()
        return tapes.report()

    async def _talk(self) -> None:
        self._journal({"type": "CallArrived", "caller": self._route.caller, "called": self._route.called})
        self._journal({"type": "CallAnswered", "setup_ms": 0.0})
        self._base = self._loop.time()
        talking = asyncio.create_task(self._session.run(), name="replayed call")
        talking.add_done_callback(self._conversation_over)
        self._loop.call_soon(self._tick)
        if self._route.max_call_s:
            self._loop.call_later(self._route.max_call_s, self._hang_up, "us", "max_call")
        by, reason = await self._over
        self._session.close(reason)
        async with asyncio.timeout(WAITS_S):
            await asyncio.gather(talking, return_exceptions=True)
        self._ended = by, reason

    # ------------------------------------------------------------ on the clock

    def _tick(self) -> None:
        """20 ms, as telephony/media/stream.py does them."""
        if self._over.done():
            return
        now = self._loop.time()
        now_s = now - self._base
        side, session = self._agent, self._session
        side.at_rest = session.at_rest and not self._out.queued and not session.tools_running
        frame = self._hear(now, now_s)
        self._phone.heard(frame)
        session.hear(frame, now)
        speech = session.speak(now)
        if speech is not None:
            side.spoke(now_s)
        if self._recorder is not None:
            self._recorder.frame(frame, self._phone.sends(speech))
        if self._caller.gone(now_s, side):
            self._hang_up("caller", "caller_hung_up")
        self._ticks += 1
        self._loop.call_at(self._base + self._ticks * TICK_S, self._tick)

    def _hear(self, now: float, now_s: float) -> Any:
        """The caller's next frame; keys and signals in it are told and muted, as telephony/media/receiving.py does."""
        frame = self._caller.frame(now_s, self._agent)
        for key in self._caller.pressed():
            if self._presses.counts(key, "event", now):
                self._session.key(key, now)
        digit, signal = self._tones.hear(frame, now)
        if digit and self._presses.counts(digit, "inband", now):
            self._session.key(digit, now)
        if signal is not None:
            self._session.tone(signal, now)
        return frame * 0 if self._tones.sounding else frame

    # ------------------------------------------------------------ what happens

    def _emit(self, event: Event) -> None:
        self._deck.noticed(event)
        self._journal(dump(event))

    def _journal(self, row: dict[str, Any]) -> None:
        self._tally.add(row)
        self._bundle.append(row, float(row.get("at", self._loop.time())), self._wall())

    def _hang_up(self, by: str, reason: str) -> None:
        if not self._over.done():
            self._over.set_result((by, reason))

    def _conversation_over(self, talking: asyncio.Task[str]) -> None:
        """It ends with the call; before that, only by an error in an agent's own code."""
        error = None if talking.cancelled() else talking.exception()
        if error is not None:
            self._error = f"{type(error).__name__}: {error}"
        self._hang_up("us", "error")

    # ------------------------------------------------------------ what is written

    def _start(self, identity: str) -> StartCall:
        route, recording = self._route, self._recording
        audio = None if route.recording == "off" else str(self._bundle.audio_path)
        return StartCall(
            call_id=f"{identity}-{self._options.seed}",
            route=route.dump(),
            media=None,
            rate_hz=recording.rate_hz,
            stream={},
            caller=route.caller,
            called=route.called,
            parties={},
            recording=audio,
            folder=str(self._bundle.path),
        )

    def _facts(self) -> dict[str, Any]:
        route, known = self._route, self._recording.facts
        kept = ("caller_name", "caller_hidden", "diverted_from", "headers", "trunk", "sip_call_id")
        return {
            "direction": "inbound",
            "caller": route.caller,
            "called": route.called,
            **{name: known[name] for name in kept if name in known},
            "agent": route.agent,
            "recording": route.recording,
            "rule": {"number": route.number, "line": route.line},
            "plan": {"name": route.plan, "version": route.plan_version},
            "replay": {"source": self._recording.name, **self._options.facts()},
        }

    def _conclude(self, tape: dict[str, Any]) -> None:
        (by, reason), loop_s = self._ended, self._loop.time()
        if usage := self._tally.facts():
            self._journal({"type": "UsageSummed", **usage})
        self._journal({"type": "CallEnded", "by": by, "code": 200, "reason": reason})
        duration_s = loop_s - self._base
        moved = {"transferred_to": self._phone.transferred_to} if self._phone.transferred_to else {}
        self._bundle.close(
            {
                "answered_after_s": 0.0,
                "ended": iso(self._started + timedelta(seconds=duration_s)),
                "duration_s": round(duration_s, 3),
                "ended_by": by,
                "ended_reason": reason,
                "code": 200,
                "cause": reason,
                **moved,
                **({"usage": usage} if usage else {}),
                "media": {"codec": "", "sent": self._ticks, "received": self._ticks},
                "replay": {
                    **self._facts()["replay"],
                    "seconds": round(self._recording.duration_s, 3),
                    "placed": [placed.facts() for placed in self._caller.placed],
                    "notes": [*self._recording.notes, *self._original.notes],
                    **tape,
                    **({"error": self._error} if self._error else {}),
                },
            }
        )

    _error = ""


def _write_speed(path: Path, call_s: float, cpu_s: float, wall_s: float) -> None:
    """Beside the bundle, not in it: it is another one each time."""
    facts = {"call_s": round(call_s, 3), "cpu_s": round(cpu_s, 4), "wall_s": round(wall_s, 4)}
    (path / "speed.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


__all__ = ["PipelineError", "ReplayedCall", "call_id", "find_route", "replay"]

"""One call in a worker: introduces the media stream to the conversation and leaves the room.

On the per-packet path the stream calls the session directly. What the agent does to the call (hang up, transfer)
goes over the link, what happens in it comes back as journal lines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import structlog

from offhook.link import (
    CallEvent,
    CallFinished,
    CallLeft,
    CallReady,
    CallRefused,
    HangUp,
    Message,
    SendDigits,
    StartCall,
)
from offhook.whose import CALL
from offhook.worker.asking import Asking
from offhook.worker.blame import context_of
from offhook.worker.cassette import live_deck
from offhook.worker.casting import Casting
from offhook.worker.consulting import Consulting, Line, joint
from offhook.worker.holding import with_music
from offhook.worker.leaving import farewell
from offhook.worker.marking import Marks
from offhook.worker.messages import Messages
from offhook.worker.on_call import OnCall
from offhook.worker.realtime import law_of
from offhook.worker.saving import Saver
from offhook.worker.thinking import ThinkingSounds
from pipeline.errors import PipelineError
from pipeline.events import Event, ToneHeard, dump
from pipeline.options import ThinkingSound
from pipeline.ports import Consultation, Frame, TransferResult
from pipeline.session import Session
from telephony import dialstring
from telephony.dialplan.model import Route
from telephony.errors import MediaError
from telephony.media.address import is_numeric, looked_up
from telephony.media.bridge import Side
from telephony.media.clock import Clock
from telephony.media.music import music
from telephony.media.playout import Playout
from telephony.media.progress import tone
from telephony.media.recorder import reopened
from telephony.media.signals import ToneKind
from telephony.media.stream import Stream, StreamState
from telephony.media.vitals import Left, Vitals
from telephony.sdp.plan import MediaPlan

log = structlog.get_logger()

PREPARE_TIMEOUT_S = 5.0
FIRST_PACKETS_S = 0.04  # for calls that are moved to us, many at once perhaps
BUSY_S = 5.0  # then nobody is there any more: gateways to analogue lines know no other goodbye


class Bridge:
    """One call. Satisfies pipeline.ports.CallControl for its session.

    send: puts a message on the link. over(bridge): called once, when the call has left this worker.
    """

    def __init__(
        self,
        start: StartCall,
        fds: list[int],
        *,
        clock: Clock,
        casting: Casting,
        send: Callable[[Message], None],
        over: Callable[[Bridge], None],
    ) -> None:
        self.call_id = start.call_id
        self._start, self._clock, self._casting, self._send, self._over = start, clock, casting, send, over
        self._rtp, self._rtcp = (socket.socket(fileno=fd) for fd in fds[:2])
        self._vitals = Vitals(fds[2])
        self._left = self._vitals.read()  # how a worker before us has left it
        self._out = Playout(start.rate_hz, self._left.spoken if self._left is not None else 0)
        path = start.recording
        self._recorder = reopened(path, start.rate_hz, self._vitals) if path else None
        self._stream: Stream | None = None
        self._session: Session | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.asking = Asking(start.call_id, send, held=start.holding)
        self._route = Route.load(start.route)
        self.media = start.media  # the newest plan that was agreed on
        self._early = self._route.before_answer != "ringing" and not start.resumes
        announced = self._route.recording in ("announce", "ask")
        if self._recorder is not None and announced and not start.resumes:
            self._recorder.pause()
        self._loop = asyncio.get_running_loop()
        self._answered, self._confirmed, self._talking, self._fax = start.resumes, False, False, False
        self._ending: asyncio.Task[None] | None = None
        self.consulting = Consulting(
            start.call_id,
            clock=clock,
            send=send,
            vad=casting.providing.vad,
            join=self._join,
            called=start.consults,
        )
        self.consulting.rejoined = self._joined
        self._messages = Messages(start)
        self._saver = Saver(start.call_id, send)
        self._marks = Marks(self._vitals, self._out, lambda: self._stream.past if self._stream else None)
        self._preparing: asyncio.Task[None] | None = None
        self._side: Side | None = None  # while the caller talks to somebody else
        self._thinking = ThinkingSounds(start.call_id, start.rate_hz)
        self._deck = live_deck(self._route, start.folder, self._recorder)
        about = start.call_id, start.rate_hz, self._emit, law_of(start.media)
        self._on_call = OnCall(*about, self.asking, self._deck)

    # ------------------------------------------------------------ what the switch says

    def prepare(self) -> None:
        """Get the agent ready; CallReady or CallRefused follows. Who rings may be given early media meanwhile; who was
        talking to another worker gets packets at once, and an agent as soon as it is there."""
        if (self._early or self._answered) and self.media is not None:
            self.media_changed(self.media)
        if self._start.joined:  # the agent is out of it
            return
        self._preparing = self._spawn(self._prepare(), "prepare")
        if self._start.confirmed:
            self.confirmed()

    def answered(self) -> None:
        """The 200 left: packets flow from now on, silence included."""
        if self._answered:
            return
        self._answered = True
        if self._stream is not None:  # the caller has heard it ring
            self._stream.stop_background()
            self._stream.recorder = self._recorder
        elif self.media is not None:
            self.media_changed(self.media)

    def confirmed(self) -> None:
        """The ACK came: the conversation begins."""
        if not (self._start.joined or self._confirmed):
            self._confirmed = True
            self._spawn(self._talk(), "talk")

    def hand_in(self) -> None:
        """Another worker goes on with it: save where it stands."""
        if self._session is not None and self._talking:
            self._saver.save(self._session.checkpoint())

    def media_changed(self, media: dict[str, Any]) -> None:
        """Another plan: a hold, a moved port, or the answer to our late offer."""
        self.media = media
        plan = MediaPlan.load(media)
        if is_numeric(plan):
            self._carry(plan)
        else:
            self._spawn(self._look_up(plan), "look up")

    async def _look_up(self, plan: MediaPlan) -> None:
        try:
            self._carry(await looked_up(plan))
        except MediaError as error:
            log.error("no_media_address", call_id=self.call_id, error=str(error))
            self.hang_up("no_media_address")

    def _carry(self, plan: MediaPlan) -> None:
        if self._stream is not None:
            self._stream.update(plan)
            self._heed_hold(plan)
        elif self._answered or self._early:
            self._stream = self._opened(plan)
            self._clock.add(self._stream, soon=self._start.resumes)

    def _opened(self, plan: MediaPlan) -> Stream:
        """Early media is not part of the recording, which begins with the call."""
        stream = Stream(
            self._rtp,
            self._rtcp,
            plan,
            state=StreamState(**self._start.stream),
            rate_hz=self._start.rate_hz,
            ear=self._hear,
            mouth=self._speak,
            on_digit=self._key_pressed,
            on_tone=self._tone_heard,
            recorder=self._recorder if self._answered else None,
            vitals=self._vitals,
        )
        if not self._answered and self._route.before_answer == "ringback":
            stream.play_background(tone("ringback", self._start.rate_hz, self._route.tones))
        return stream

    def _heed_hold(self, plan: MediaPlan) -> None:
        if self._session is not None and self._talking:
            self._session.caller_held(plan.direction in ("recvonly", "inactive"), self._loop.time())

    def key_by_info(self, digit: str, now: float) -> None:
        """A digit that came by INFO. The stream knows whether the same press came by RTP as well."""
        if self._stream is not None:
            self._stream.key_by_info(digit, now)
        else:
            self._key_pressed(digit, now)

    def settled(self, at_rest: bool) -> bool:
        """Is nothing under way that another process could not go on with? at_rest: nor anybody speaking."""
        session = self._session
        if session is None or not (self._talking and self.consulting.idle and self.asking.idle):
            return False
        busy = session.tools_running or self.asking.held or self._side or self._messages.begun
        return not busy and (session.at_rest or not at_rest)

    def let_go(self) -> None:
        """Another worker goes on with it: save where it stands, and have nothing more to do with it."""
        if self._session is not None:
            self._saver.save(self._session.checkpoint())
        self.asking.close()
        self._close()
        for task in self._tasks:
            task.cancel()
        self._send(CallLeft(call_id=self.call_id))
        self._ending = self._loop.create_task(self._finish(told=True), name=f"leave {self.call_id}")

    def say_goodbye(self, reason: str) -> None:
        """The server stops. Whoever talks to somebody else, or to nobody yet, is hung up on."""
        if self._session is not None and self._talking and self._side is None:
            farewell(self._session, reason)
        else:
            self.hang_up(reason)

    def end(self, reason: str) -> asyncio.Task[None]:
        """The call is over. CallFinished follows when the recording is complete, which the task waits for."""
        if self._ending is None:
            if self._session is not None:
                self._session.close(reason)
            self.asking.close()
            self.consulting.close()
            self._ending = self._loop.create_task(self._finish(), name=f"finish {self.call_id}")
        return self._ending

    # ------------------------------------------------------------ what the agent does (CallControl)

    def hang_up(self, reason: str) -> None:
        """End the call now."""
        self._send(HangUp(call_id=self.call_id, reason=reason))

    async def transfer(self, target: str) -> TransferResult:
        """Blind transfer."""
        self._play_music()
        try:
            return await self.asking.transfer(target)
        finally:  # a tool that waits for too long is cancelled
            if self._stream is not None and not self.asking.held:
                self._stream.stop_background()

    async def consult(self, target: str, ring_s: float) -> Consultation | TransferResult:
        """Call somebody about this call. The caller hears music."""
        return await self.consulting.call(target, ring_s)

    async def _join(self, line: Line) -> bool:
        """From hold to whoever is on that line. The agent is out of it."""
        if not await self.resume():
            return False
        self._joined(line)
        return True

    def _joined(self, line: Line) -> None:
        self._side = joint(self._start.rate_hz, line)
        line.on_key = self.send_digits

    def send_digits(self, digits: str) -> None:
        """DTMF to the phone, as its trunk wants it. Raises MediaError for what is not on a keypad."""
        if self._start.dtmf == "info":
            self._send(SendDigits(call_id=self.call_id, pii_digits=dialstring.read(digits)))
        elif self._stream is not None:
            self._stream.send_digits(digits, self._start.dtmf)

    async def hold(self) -> bool:
        """Music, and a re-INVITE that says so."""
        self._play_music()
        self.asking.held = await self.asking.hold(True)
        return self.asking.held

    async def resume(self) -> bool:
        """A re-INVITE to come back, if one was agreed on to wait; then no more music."""
        if self.asking.held and not await self.asking.hold(False):
            return False
        self.asking.held = False
        if self._stream is not None:
            self._stream.stop_background()
        return True

    def start_message(self) -> str:
        """Beep, and record the caller into message-1.wav, left channel, from now on."""
        name = self._messages.begin() if self._stream is not None else ""
        if self._stream is not None and name:
            self._stream.play_background(tone("beep", self._start.rate_hz, self._route.tones))
        return name

    def end_message(self) -> float:
        """Close the file; its length in s."""
        return self._messages.end()

    def _play_music(self) -> None:
        route = self._route
        if self._stream is not None and (sound := music(route.hold_music, self._start.rate_hz, route.tones)):
            self._stream.play_background(sound)

    def think(self, sound: ThinkingSound | None) -> None:
        """Softly, behind speech and music; None: no more."""
        self._thinking.play(self._stream, sound)

    def pause_recording(self) -> bool:
        """Silence in the file from here on."""
        if self._recorder is not None:
            self._recorder.pause()
        return self._recorder is not None

    def resume_recording(self) -> bool:
        """Sound in the file again."""
        if self._recorder is not None:
            self._recorder.go_on()
        return self._recorder is not None

    # ------------------------------------------------------------ on the clock

    def _hear(self, frame: Frame, now: float) -> None:
        CALL.set(self.call_id)
        self._messages.hear(frame)
        if self._side is not None:
            self._side.ear(frame, now)
        elif self._session is not None and self._talking:
            self._session.hear(frame, now)

    def _speak(self, now: float) -> Frame | None:
        if self._side is not None:
            return self._side.mouth(now)
        if self._session is None or not self._answered:
            return None
        frame = self._session.speak(now)
        if frame is not None:
            self._marks.spoke()
        return frame

    def _key_pressed(self, digit: str, now: float) -> None:
        if self._side is not None:
            if self.consulting.line is not None:
                with suppress(MediaError):  # a trunk that takes no keys loses this one, not the call
                    self.consulting.line.send_digits(digit)
        elif self._session is not None:
            self._session.key(digit, now)

    def _tone_heard(self, kind: ToneKind, now: float) -> None:
        if self._session is not None and self._side is None:
            self._session.tone(kind, now)
        else:
            self._emit(ToneHeard(now, kind))
        self._fax = self._fax or kind in ("fax_cng", "fax_ced")

    def unwanted(self, now: float, signals: Sequence[str]) -> str:
        """What the line gives that ends a call: busy_tone, fax, or "". signals: which of busy and fax count."""
        if "fax" in signals and self._fax:
            return "fax"
        tone = self._stream.tone_lasting(now) if self._stream is not None else None
        return "busy_tone" if "busy" in signals and tone is not None and tone[1] >= BUSY_S else ""

    def plays(self, stream: object) -> bool:
        """Is this stream the call's?"""
        return self._stream is stream or self.consulting.plays(stream)

    def silent_for(self, now: float) -> float:
        """Seconds without a packet from the phone; 0.0 while that is as agreed (hold, not answered yet)."""
        return self._stream.silent_for(now) if self._stream is not None and self._answered else 0.0

    # ------------------------------------------------------------ tasks

    async def _prepare(self) -> None:
        if self._answered:
            await asyncio.sleep(FIRST_PACKETS_S)  # an agent takes time to make, and packets are waited for
        session = await self._made()
        if isinstance(session, str) and self._replace_agent():
            log.error("agent_replaced", call_id=self.call_id, reason=session)
            session = await self._made()
        if isinstance(session, str):
            log.error("call_refused", call_id=self.call_id, reason=session)
            self._send(CallRefused(call_id=self.call_id, code=503, reason=session))
            return
        self._session = session
        self._send(CallReady(call_id=self.call_id))

    async def _made(self) -> Session | str:
        """A conversation that can begin, or why there is none."""
        start = self._start
        gap_ms = round((self._loop.time() - self._left.at) * 1000) if self._left is not None else 0
        try:
            async with asyncio.timeout(PREPARE_TIMEOUT_S):
                session = self._casting.session(
                    start, self._route, self._on_call, self._out, self, self._saver.save, gap_ms
                )
                await session.prepare()
                self._route = await with_music(self._route, start.rate_hz, self.call_id)
                await self._thinking.fetch(session.agent.thinking_sound)
                if self.asking.held:
                    self._play_music()
        except (PipelineError, TimeoutError) as error:
            return str(error) or f"the agent was not ready within {PREPARE_TIMEOUT_S:.0f} s"
        except Exception as error:  # user code: an agent's class may raise anything
            log.exception("agent_failed_to_start", call_id=self.call_id)
            return f"{type(error).__name__}: {error}"
        return session

    def _replace_agent(self) -> bool:
        """Whom the plan names for agents that crash takes the call, once; False if there is nobody."""
        route = self._route
        other = route.fallback.agent_crash
        if other not in route.agents or other == route.agent:
            return False
        self._route = route.model_copy(update={"agent": other})
        return True

    async def _talk(self) -> None:
        if self._preparing is not None:
            await asyncio.wait([self._preparing])
        session = self._session
        if session is None or self._ending is not None:
            return
        self._talking = True
        if self._stream is not None:
            self._heed_hold(self._stream.plan)
        try:
            talking = asyncio.ensure_future(session.run())
            if self._left is not None:
                await asyncio.sleep(0)  # it listens from its first step on
                self._hear_again(session, self._left)
            await talking
        except Exception:  # the call is supervised here: whatever user code raised costs this call only
            log.exception("conversation_failed", call_id=self.call_id)
            session.close("error")
            self._talking = False
            await self._rescue()
        finally:
            self._talking = False

    async def _rescue(self) -> None:
        """An agent's own code broke in mid-call: whom the plan names goes on, once; else the call ends."""
        crash = self._route.fallback.agent_crash
        if self._replace_agent() and not isinstance(session := await self._made(), str):
            self._session = session
            await self._talk()
        elif not (crash and crash not in self._route.agents and (await self.transfer(crash)).ok):
            self.hang_up("error")

    def _hear_again(self, session: Session, left: Left) -> None:
        """What the caller said while nobody listened, or to a recogniser that died with its worker."""
        if self._stream is not None and (past := self._stream.past) is not None:
            since = left.turn_ticks if left.turn_since else left.past_ticks
            session.hear_again(past.since(since), self._loop.time())

    async def _finish(self, told: bool = False) -> None:
        """Everything that talks has stopped; then the sockets, the file, the last message. told: it was sent."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        media = asdict(self._stream.report()) if self._stream is not None else {}
        self._close()
        if not told:
            self._send(CallFinished(call_id=self.call_id, media=media))
        self._over(self)

    def _close(self) -> None:
        if self._stream is not None:
            self._clock.remove(self._stream)
            self._stream.close()
        if self._recorder is not None:
            self._recorder.close()
        self._deck.close()
        self.end_message()
        self._rtp.close()
        self._rtcp.close()
        self._vitals.close()

    def _spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        name, context = f"{name} {self.call_id}", context_of(self._vitals)
        task: asyncio.Task[None] = self._loop.create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _emit(self, event: Event) -> None:
        self._marks.saw(event)
        self._deck.noticed(event)
        self._send(CallEvent(call_id=self.call_id, event=dump(event)))

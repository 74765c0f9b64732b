"""A conversation on one call: hears, decides, speaks. The only loop.

`hear` and `speak` run on the media clock, 50 times a second, and are plain function calls. Who has the floor is
decided in turn.py, what the caller said in listening.py and answering.py, what the agent says in speeches.py and
replying.py, who the agent is in succession.py; waiting.py knows when nobody listens, asking_again.py when nobody
speaks. This page owns the order of things and the call's tasks, no rules. Driven by offhook/worker/bridge.py, or by a
test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from pipeline.agent.agent import Agent
from pipeline.agent.history import History
from pipeline.agent.task import TaskFailed
from pipeline.answering import HIDDEN, Answering
from pipeline.asking_again import AskingAgain
from pipeline.deadline import Deadline
from pipeline.events import (
    AgentDucked,
    AgentStateChanged,
    AgentUnducked,
    CallerInterrupted,
    CallerStartedSpeaking,
    CallerStoppedSpeaking,
    Event,
    KeyPressed,
    MessageTaken,
    SessionClosed,
    ToneHeard,
)
from pipeline.failing import Failing
from pipeline.hearing.echo import EchoGuard
from pipeline.hearing.expectation import Expectation
from pipeline.hearing.vad import VoiceStarted, VoiceStopped
from pipeline.listening import Listening
from pipeline.mouth import LOW, NORMAL
from pipeline.options import Silence, TurnHandling
from pipeline.ports import FRAME_MS, AudioOut, CallControl, Destination, Frame, TransferResult
from pipeline.replying import Reply
from pipeline.resuming import Before, Resuming, checkpoint
from pipeline.silence import Patience
from pipeline.speaking.clip import Clip
from pipeline.speeches import Outside, Speeches
from pipeline.stage import Services, Stage
from pipeline.succession import Succession, opener_of
from pipeline.thinking import Thinking
from pipeline.tooling import ToolRunner
from pipeline.transferring import Transferring
from pipeline.turn import Decision, Floor, Keyed, ReplyOver, TimeUp, Turn, TurnEvent
from pipeline.waiting import Waiting

__all__ = ["Services", "Session"]

STATES = {
    Floor.LISTENING: "listening",
    Floor.CALLER_SPEAKING: "listening",
    Floor.MAYBE_DONE: "listening",
    Floor.COMMITTED: "thinking",
    Floor.THINKING: "thinking",
    Floor.SPEAKING: "speaking",
}
OWED = (Floor.COMMITTED, Floor.THINKING, Floor.SPEAKING)  # in silence: the caller waits for us


class Session:
    """One conversation. See pipeline/agent/conversation.py for what agents and tools may call."""

    def __init__(
        self,
        agent: Agent,
        services: Services,
        out: AudioOut,
        control: CallControl,
        *,
        emit: Callable[[Event], None],
        save: Callable[[dict[str, Any]], None] = lambda _: None,
        options: TurnHandling | None = None,
        silence: Silence | None = None,
        userdata: Any = None,
        history: History | None = None,
        apology: str = "",
        announcement: str | Clip = "",
        on_failure: str = "",
        call_id: str = "",
        before: Before | None = None,
    ) -> None:
        self.history = history or History()
        self.userdata = userdata
        self._call_id = call_id or uuid4().hex
        self._out, self._control, self._emit = out, control, emit
        options = options or TurnHandling()
        self._turn = Turn(options, agent.voice.language)
        self._stage = Stage(
            self, services, agent, out, self.history, options, silence or Silence(), self._turn, emit,
            lambda: save(self.checkpoint()), self._happened,
        )  # fmt: skip
        self._loop = self._stage.loop
        self._echo = EchoGuard() if options.echo_guard else None
        self._failing = Failing(self._stage, apology, on_failure, self._is_ending)
        self._answering = Answering(self._stage, self._caller_spoke)
        self._listening = self._stage.listening = Listening(
            services.vad,
            rate_hz=out.rate_hz,
            transcript_timeout_s=options.transcript_timeout_ms / 1000,
            on_partial=self._answering.partly_heard,
            on_utterance=self._answering.heard,
            on_failed=self._failing.ears,
            echo=self._echo,
        )
        self._succession = Succession(self._stage)
        self._waiting = Waiting(self._stage, control, announcement)
        self._resuming = (
            Resuming(self._stage, self._succession, self._answering, self._waiting, before)
            if before is not None
            else None
        )
        self._transferring = Transferring(self._stage, control, self._waiting, Session)
        self._patience = self._stage.patience = Patience(self._stage.silence)
        self._asking_again = AskingAgain(self._stage)
        self._thinking = Thinking(control.think)
        self._speeches: Speeches | None = None
        self._closed: asyncio.Future[str] = self._loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._state = "initializing"
        self._ducked = False
        self._deadline = Deadline(self._turn.deadline, self._time_is_up)

    @property
    def agent(self) -> Agent:
        """The one that talks."""
        return self._stage.agent

    @property
    def at_rest(self) -> bool:
        """It is the caller's turn: nobody speaks, answers or takes over. Tools may still run that reported so."""
        talking = self._speeches is not None and self._speeches.talking
        return (
            self._turn.floor is Floor.LISTENING
            and not talking
            and self._ending is None
            and not self._succession.moving
        )

    @property
    def tools_running(self) -> int:
        """How many tools run now."""
        return self._stage.tools.running if self._stage.tools is not None else 0

    # ------------------------------------------------------------ on the clock

    def hear(self, frame: Frame, now: float) -> None:
        """20 ms of the caller, silence and concealed loss included."""
        deaf = bool(self._waiting.deaf)
        voice = self._listening.rest(now) if deaf else self._listening.hear(frame, now)
        if deaf:
            self._waiting.hear(frame, now)
        self._answering.remember(frame)
        if voice is not None:
            if isinstance(voice, VoiceStarted):
                self._emit(CallerStartedSpeaking(now, voice.at))
            elif isinstance(voice, VoiceStopped):
                self._emit(CallerStoppedSpeaking(now, voice.at))
            self._happened(voice, now)
        self._deadline.look(now)
        self._answering.keys_due(now)
        busy = deaf or self._ending is not None
        self._asking_again.look(now, otherwise_busy=busy, in_task=self._succession.in_task)

    def speak(self, now: float) -> Frame | None:
        """The next 20 ms for the phone, None while there is nothing to say."""
        frame = self._out.pull()
        if self._echo is not None:
            self._echo.sent(frame)
        if self._speeches is not None:
            self._speeches.spoke(frame, now)
        self._thinking.spoke(frame, self._stage.agent.thinking_sound, self._thinks)
        return frame

    def hear_again(self, frames: Sequence[Frame], now: float) -> None:
        """What the caller said before this process had the call, oldest first; the last frame is the newest."""
        for number, frame in enumerate(frames):
            self.hear(frame, now - (len(frames) - number) * FRAME_MS / 1000)

    def key(self, digit: str, now: float) -> None:
        """The caller pressed a key. `#` ends the entry, a pause does too."""
        self._emit(KeyPressed(now, HIDDEN if self._answering.masked else digit))
        if self._waiting.key(digit) or self._waiting.keys_are_lost:
            return
        self._patience.heard()
        self._happened(Keyed(), now)
        self._answering.key(digit, now)

    def tone(self, kind: str, now: float) -> None:
        """The line gives a signal of a network or a machine."""
        self._emit(ToneHeard(now, kind))
        if self._stage.tasks is not None and not self._closed.done():
            self._stage.tasks.create_task(self.agent.on_tone(kind), name="on_tone")

    def typed(self, text: str, now: float) -> None:
        """The caller wrote this instead of saying it: a turn, complete."""
        self._patience.heard()
        self._happened(Keyed(), now)
        self._answering.typed(text, now)

    def caller_held(self, held: bool, now: float) -> None:
        """The caller's phone asks us to wait, or is back."""
        self._waiting.caller_held(held, now)

    # ------------------------------------------------------------ from first to last

    async def prepare(self) -> None:
        """Have everything at hand, so that the call can be answered. Raises ProviderError, ConfigError."""
        stage = self._stage
        _ = stage.llm, stage.tts  # are they there?
        await self._listening.open(stage.stt, opener_of(stage.agent))

    async def run(self) -> str:
        """The conversation, after `prepare`, until `close`. Returns the reason why it is over."""
        stage = self._stage
        try:
            async with asyncio.TaskGroup() as tasks, self._tool_runner(tasks) as stage.tools:
                stage.tasks = tasks
                stage.speeches = self._speeches = Speeches(self._out, self._outside(tasks))
                listening = tasks.create_task(self._listening.run(), name="listening")
                tasks.create_task(self._begin(), name="enter")
                await self._closed
                listening.cancel()
                self._speeches.close()
                if self._ending is not None:
                    self._ending.cancel()
        finally:
            stage.tasks = None
        reason = self._closed.result()
        self._answering.count(self._loop.time())
        await self.agent.on_exit()
        self._show_state("closed")
        self._emit(SessionClosed(self._loop.time(), reason))
        return reason

    def close(self, reason: str) -> None:
        """The call is over. Safe to call twice; the first reason counts."""
        if self._closed.done():
            return
        if self._speeches is not None:
            self._speeches.cut(force=True)
        self._deadline.forget()
        self._waiting.call_over()
        self._thinking.stop()
        self._closed.set_result(reason)
        self._succession.close()

    def checkpoint(self) -> dict[str, Any]:
        """What another process would need to go on with this conversation. Plain values."""
        return checkpoint(self._stage, self._succession, self._answering, self._speeches, self._waiting)

    async def _begin(self) -> None:
        self._show_state("listening")
        try:
            if self._resuming is not None:
                await self._resuming.go_on()
                return
            await self._waiting.announce()
            await self._succession.enter(self.agent, "")
        except TaskFailed:
            if not self._closed.done():
                raise

    def _outside(self, tasks: asyncio.TaskGroup) -> Outside:
        return Outside(
            tasks,
            self._emit,
            self._stage.now,
            self._happened,
            gave_up=self._failing.give_up,
            stumbled=self._failing.apologise,
            over=self._reply_over,
            performed=self._waiting.performed,
        )

    # ------------------------------------------------------------ for agents and tools

    def say(
        self,
        text: str | Clip,
        *,
        allow_interruptions: bool | None = None,
        priority: int = NORMAL,
        add_to_history: bool = True,
    ) -> Reply:
        """Say this, after what is being said now."""
        stage = self._stage
        return stage.queue(
            stage.reply(
                text=text,
                allow_interruptions=allow_interruptions,
                priority=priority,
                add_to_history=add_to_history,
            )
        )

    def generate_reply(
        self, instructions: str = "", *, allow_interruptions: bool | None = None, priority: int = NORMAL
    ) -> Reply:
        """Ask the model for something to say."""
        stage = self._stage
        return stage.queue(
            stage.reply(instructions=instructions, allow_interruptions=allow_interruptions, priority=priority)
        )

    def interrupt(self, *, force: bool = False) -> None:
        """Stop speaking now."""
        if self._speeches is not None:
            self._speeches.cut(force=force)
        self._happened(ReplyOver(), self._loop.time())

    def expect(self, expectation: Expectation | None) -> None:
        """What the caller has been asked for."""
        self._turn.endpointing.expectation, self._stage.asked_once = expectation, False

    async def refresh(self) -> None:
        """The agent has changed."""
        await self._succession.refresh()

    def mask_keys(self, masked: bool) -> None:
        """What is keyed and said from now on is secret."""
        self._answering.masked = masked

    async def run_task(self, task: Any) -> Any:
        """Let an AgentTask talk to the caller until it has its result."""
        return await self._succession.run_task(task)

    def hand_over(self, agent: Agent) -> None:
        """Let another agent talk, once what is being said was heard."""
        self._succession.hand_over(agent)

    def end_call(self, reason: str) -> None:
        """Hang up as soon as everything that is being said was heard. A caller who interrupts keeps the call."""
        if self._ending is None and self._stage.tasks is not None and not self._closed.done():
            self._ending = self._stage.tasks.create_task(self._hang_up(reason), name="hang up")

    async def transfer(
        self,
        target: str,
        *,
        attended: bool = False,
        briefing: str = "",
        ring_s: float = 25.0,
        release: bool = False,
        fallback: str = "none",
    ) -> TransferResult:
        """Send the caller elsewhere, once everything that is being said was heard."""
        to = Destination(target, attended, ring_s, release, fallback)
        return await self._transferring.transfer(to, briefing)

    async def take_message(self, max_s: float = 120.0, silence_s: float = 4.0) -> MessageTaken | None:
        """Beep, and record what the caller has to say."""
        return await self._waiting.take_message(max_s, silence_s)

    def send_digits(self, digits: str) -> None:
        """Press keys."""
        self._waiting.send_digits(digits)

    async def hold(self, *, until_answered: bool = False) -> None:
        """Let the caller wait with music, once what is being said was heard."""
        await self._waiting.hold(until_answered=until_answered)

    async def resume(self) -> bool:
        """Back to the caller. False if their phone would not agree."""
        return await self._waiting.resume()

    def pause_recording(self) -> bool:
        """Keep what is said out of the recording."""
        return self._waiting.pause_recording()

    def resume_recording(self) -> bool:
        """Record again."""
        return self._waiting.resume_recording()

    # ------------------------------------------------------------ decisions

    def _time_is_up(self, now: float) -> None:
        self._happened(TimeUp(self._listening.voiced, self._listening.stirs), now)

    def _happened(self, event: TurnEvent | None, now: float) -> None:
        """Tell the floor, and do what it decides. None: only its deadline may have changed."""
        before = self._turn.floor
        if event is not None:
            for decision in self._turn.receive(event, now):
                self._carry_out(decision, now)
        self._deadline.watch()
        floor = self._turn.floor
        if floor is Floor.MAYBE_DONE and before is not Floor.MAYBE_DONE:
            self._answering.maybe_done()
        state = STATES.get(floor)
        if state is not None and state != self._state and not self._closed.done():
            self._show_state(state)

    def _carry_out(self, decision: Decision, now: float) -> None:
        match decision:
            case Decision.START_TURN:
                self._answering.began()
                self._listening.start_turn()
            case Decision.END_TURN:
                if self._turn.caller_speaks:
                    self._answering.too_long(now)
                self._answering.ended(now)
                self._listening.end_turn(now)
            case Decision.END_OVERLAP:
                self._answering.ended(now)
                self._listening.end_turn(now, overlap=True)
            case Decision.DUCK:
                self._out.duck(True)
                if not self._ducked:
                    self._emit(AgentDucked(now))
                self._ducked = True
            case Decision.UNDUCK:
                self._out.duck(False)
                if self._ducked:
                    self._emit(AgentUnducked(now))
                self._ducked = False
            case _ if self._speeches is not None:
                self._stop_or_go(decision, self._speeches, now)

    def _stop_or_go(self, decision: Decision, speeches: Speeches, now: float) -> None:
        if decision is Decision.PAUSE:
            speeches.pause(now)
        elif decision is Decision.RESUME:
            self._ducked = False
            speeches.resume(now)
        elif decision is Decision.INTERRUPT:
            self._interrupted(speeches, now)

    def _interrupted(self, speeches: Speeches, now: float) -> None:
        """The caller has the floor: silence within a frame, and nothing that was not heard was said."""
        since, self._ducked = self._turn.spoke_since, False
        speeches.cut(told=lambda heard_ms: self._emit(CallerInterrupted(now, since, heard_ms)))
        self._answering.interrupted()
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    # ------------------------------------------------------------ waiting for somebody

    def _caller_spoke(self) -> None:
        self._patience.heard()
        self._succession.caller_spoke()

    def _thinks(self) -> bool:
        """Does the caller wait for something the agent has to say?"""
        if self._waiting.deaf or self._closed.done() or self._speeches is None:
            return False
        return self._turn.floor in OWED or (self._turn.floor is Floor.LISTENING and self._speeches.talking)

    def _is_ending(self) -> bool:
        return self._ending is not None and not self._ending.done()

    # ------------------------------------------------------------ tools

    def _tool_runner(self, tasks: asyncio.TaskGroup) -> ToolRunner:
        return ToolRunner(
            self,
            self.history,
            tasks,
            self._emit_and_save,
            self._succession.hand_over,
            idle=self._is_idle,
            call_id=self._call_id,
            repeats=self._resuming.repeats if self._resuming is not None else lambda call: False,
        )

    def _is_idle(self) -> bool:
        """Nobody speaks and nobody is owed an answer."""
        busy = self._speeches is not None and self._speeches.busy
        listening = self._turn.floor is Floor.LISTENING and not self._succession.in_task
        return listening and not busy and self._ending is None

    # ------------------------------------------------------------ comings and goings

    def _reply_over(self, reply: Reply) -> None:
        self._emit_and_save(None)
        self._answering.reply_over(reply)

    async def _hang_up(self, reason: str) -> None:
        if self._speeches is not None:
            async with self._speeches.mouth.turn(LOW):
                self._control.hang_up(reason)

    def _emit_and_save(self, event: Event | None) -> None:
        if event is not None:
            self._emit(event)
        self._stage.save()

    def _show_state(self, state: str) -> None:
        old, self._state = self._state, state
        if old != state:
            self._emit(AgentStateChanged(self._loop.time(), old, state))

"""A conversation on one call: hears, decides, speaks. The only loop.

`hear` and `speak` run on the media clock, 50 times a second, and are plain function calls. Who has the floor is
decided in turn.py, what the caller said in listening.py, what the agent says in replying.py; this page owns the
order of things and the call's tasks, no rules. Driven by offhook/worker/bridge.py, or by a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipeline.agent.agent import Agent
from pipeline.agent.history import History, Message
from pipeline.errors import ConfigError, PipelineError, ProviderError
from pipeline.events import (
    AgentDucked,
    AgentEntered,
    AgentStateChanged,
    AgentUnducked,
    CallerInterrupted,
    CallerPartlyHeard,
    CallerStartedSpeaking,
    CallerStoppedSpeaking,
    Event,
    KeyPressed,
    NothingHeard,
    ProviderFailed,
    SessionClosed,
    TransferFinished,
    TransferStarted,
    UserTurnCommitted,
)
from pipeline.hearing.backchannel import is_backchannel
from pipeline.hearing.keys import KeyEntry
from pipeline.hearing.vad import VoiceStarted
from pipeline.listening import Listening, Utterance
from pipeline.ports import AudioOut, CallControl, Frame, Llm, Partial, Stt, TransferResult, Tts, Vad
from pipeline.replying import Means, Reply, ResponseClock
from pipeline.tooling import ToolRunner
from pipeline.turn import (
    Decision,
    Floor,
    Keyed,
    ReplyAudible,
    ReplyOver,
    TimeUp,
    Turn,
    TurnEvent,
    TurnHandling,
    Understood,
)

APOLOGY = "I am sorry, something went wrong on my side. Could you say that again?"
LEAD_S = (
    0.008  # deadlines lie on the 20 ms grid, as speech does; a quick answer needs this much to make the tick
)
TIMER_GRAIN_S = 0.001  # loops with millisecond timers call a little before their time
MAX_FAILURES = 3  # replies in a row that could not be made; then the call ends

STATES = {
    Floor.OPEN: "listening",
    Floor.CALLER: "listening",
    Floor.MAYBE_DONE: "listening",
    Floor.THINKING: "thinking",
    Floor.AGENT: "speaking",
}


@dataclass(frozen=True, slots=True)
class Services:
    """The providers of a call. An agent may bring its own instead. vad: one instance a call."""

    vad: Vad
    stt: Stt | None = None
    llm: Llm | None = None
    tts: Tts | None = None


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
        userdata: Any = None,
        history: History | None = None,
        apology: str = APOLOGY,
        call_id: str = "",
    ) -> None:
        self.agent = agent
        self.history = history or History()
        self.userdata = userdata
        self._call_id = call_id or uuid4().hex
        self._services, self._out, self._control = services, out, control
        self._emit, self._save, self._apology = emit, save, apology
        self._options = options or TurnHandling()
        self._turn = Turn(self._options)
        self._listening = Listening(
            services.vad,
            rate_hz=out.rate_hz,
            transcript_timeout_s=self._options.transcript_timeout_ms / 1000,
            on_partial=self._partly_heard,
            on_utterance=self._heard,
            on_failed=self._ears_failed,
        )
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[str] = self._loop.create_future()
        self._tasks: asyncio.TaskGroup | None = None
        self._tools: ToolRunner | None = None
        self._speaking = (
            asyncio.Lock()
        )  # one reply, handover or hang-up at a time, in the order they were asked for
        self._reply: Reply | None = None  # the one that may be heard
        self._replies: dict[Reply, asyncio.Task[None]] = {}
        self._ending: asyncio.Task[None] | None = None
        self._state = "initializing"
        self._decided = 0.0  # loop time of the last end of turn
        self._owed = False  # the agent was cut short: an answer is due even if no words come
        self._carried = ""  # words said over the agent that belong to the turn which followed
        self._timer: asyncio.TimerHandle | None = None  # for the turn's deadline
        self._timer_due: float | None = None
        self._keys = KeyEntry(self._options.keys_timeout_ms / 1000)
        self._failures = 0

    # ------------------------------------------------------------ on the clock

    def hear(self, frame: Frame, now: float) -> None:
        """20 ms of the caller, silence and concealed loss included."""
        voice = self._listening.hear(frame, now)
        if voice is not None:
            if isinstance(voice, VoiceStarted):
                self._emit(CallerStartedSpeaking(now, voice.at))
            else:
                self._emit(CallerStoppedSpeaking(now, voice.at))
            self._happened(voice, now)
        self._time_up(now)
        if keys := self._keys.take(now):
            self._commit_keys(keys, now)

    def speak(self, now: float) -> Frame | None:
        """The next 20 ms for the phone, None while there is nothing to say."""
        frame = self._out.pull()
        reply = self._reply
        if reply is None:
            return frame
        if frame is None:
            if reply.fell_silent():
                self._reply_over(reply, now)
        elif not reply.audible and reply.sounded(now):
            self._happened(ReplyAudible(), now)
        return frame

    def key(self, digit: str, now: float) -> None:
        """The caller pressed a key. `#` ends the entry, a pause does too."""
        self._emit(KeyPressed(now, digit))
        self._happened(Keyed(), now)
        self._keys.press(digit, now)

    # ------------------------------------------------------------ from first to last

    async def prepare(self) -> None:
        """Have everything at hand, so that the call can be answered. Raises ProviderError, ConfigError."""
        self._providers()
        stt = self.agent.stt or self._services.stt
        if stt is None:
            raise ConfigError(
                f"agent {self.agent.name!r} has no stt. Name one in the plan's defaults or the agent."
            )
        await self._listening.open(stt, self.agent.hints)

    async def run(self) -> str:
        """The conversation, after `prepare`, until `close`. Returns the reason why it is over."""
        try:
            async with asyncio.TaskGroup() as tasks, self._tool_runner(tasks) as self._tools:
                self._tasks = tasks
                listening = tasks.create_task(self._listening.run(), name="listening")
                tasks.create_task(self._enter(self.agent, ""), name="enter")
                await self._closed
                listening.cancel()
                for task in list(self._replies.values()):
                    task.cancel()
                if self._ending is not None:
                    self._ending.cancel()
        finally:
            self._tasks = None
        reason = self._closed.result()
        await self.agent.on_exit()
        self._show_state("closed")
        self._emit(SessionClosed(self._loop.time(), reason))
        return reason

    def close(self, reason: str) -> None:
        """The call is over. Safe to call twice; the first reason counts."""
        if self._closed.done():
            return
        self._cut_replies(self._out.flush())
        if self._timer is not None:
            self._timer.cancel()
        self._closed.set_result(reason)

    def checkpoint(self) -> dict[str, Any]:
        """What another process would need to go on with this conversation. Plain values."""
        return {"agent": self.agent.name, "history": self.history.dump(), "userdata": self.userdata}

    # ------------------------------------------------------------ for agents and tools

    def say(self, text: str) -> Reply:
        """Say this, after what is being said now."""
        return self._queue(Reply(self.agent, self._means(), text=text))

    def generate_reply(self, instructions: str = "") -> Reply:
        """Ask the model for something to say."""
        return self._queue(Reply(self.agent, self._means(), instructions=instructions))

    def interrupt(self) -> None:
        """Stop speaking now."""
        self._cut_replies(self._out.flush())
        self._happened(ReplyOver(), self._loop.time())

    def end_call(self, reason: str) -> None:
        """Hang up as soon as everything that is being said was heard. A caller who interrupts keeps the call."""
        if self._ending is None and self._tasks is not None:
            self._ending = self._tasks.create_task(self._hang_up(reason), name="hang up")

    async def transfer(self, target: str) -> TransferResult:
        """Blind transfer once everything that is being said was heard."""
        if self._reply is not None:
            await self._reply.wait_until_quiet()
        self._emit(TransferStarted(self._loop.time(), target))
        result = await self._control.transfer(target)
        self._emit(TransferFinished(self._loop.time(), target, result.ok, result.code, result.reason))
        return result

    def send_digits(self, digits: str) -> None:
        """Press keys."""
        self._control.send_digits(digits)

    # ------------------------------------------------------------ decisions

    def _time_up(self, now: float) -> None:
        due = self._turn.deadline()
        if due is not None and now >= due - LEAD_S:
            self._happened(TimeUp(self._listening.voiced), now)

    def _watch_deadline(self) -> None:
        """Have the turn's time noticed just before the tick it falls on: the answer may then make that tick."""
        due = self._turn.deadline()
        if due == self._timer_due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = None if due is None else self._loop.call_at(due - LEAD_S, self._time_near)

    def _time_near(self) -> None:
        self._time_up(self._loop.time() + TIMER_GRAIN_S)

    def _happened(self, event: TurnEvent, now: float) -> None:
        for decision in self._turn.receive(event, now):
            self._carry_out(decision, now)
        self._watch_deadline()
        state = STATES.get(self._turn.floor)
        if state is not None and state != self._state:
            self._show_state(state)

    def _carry_out(self, decision: Decision, now: float) -> None:
        match decision:
            case Decision.START_TURN:
                self._listening.start_turn()
            case Decision.END_TURN:
                self._decided = now
                self._listening.end_turn(now)
            case Decision.END_OVERLAP:
                self._decided = now
                self._listening.end_turn(now, overlap=True)
            case Decision.DUCK:
                self._out.duck(True)
                self._emit(AgentDucked(now))
            case Decision.UNDUCK:
                self._out.duck(False)
                self._emit(AgentUnducked(now))
            case Decision.INTERRUPT:
                self._interrupted(now)

    def _interrupted(self, now: float) -> None:
        """The caller has the floor: silence within a frame, and nothing that was not heard was said."""
        position = self._out.flush()
        self._out.duck(False)
        heard_ms = self._reply.heard_ms(position) if self._reply is not None else 0
        self._emit(CallerInterrupted(now, self._turn.spoke_since, heard_ms))
        self._owed = True
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        self._cut_replies(position)

    def _cut_replies(self, position: int) -> None:
        for reply, task in list(self._replies.items()):
            reply.cut(position)
            task.cancel()
        if self._reply is not None and self._reply.audible:
            self._reply.report(position, self._loop.time())
        self._reply = None

    # ------------------------------------------------------------ what the caller said

    def _partly_heard(self, partial: Partial) -> None:
        self._turn.heard(partial.complete)
        self._watch_deadline()
        self._emit(CallerPartlyHeard(self._loop.time(), partial.text))

    def _heard(self, said: Utterance) -> None:
        now = self._loop.time()
        if said.overlap:
            self._heard_over_agent(said, now)
        elif said.text or self._carried:
            self._commit(f"{self._carried} {said.text}".strip(), said.understood, said.confidence, now)
        elif self._owed:
            self._answer_anyway(now)
        else:
            self._emit(NothingHeard(now, "no words"))
            self._happened(ReplyOver(), now)

    def _heard_over_agent(self, said: Utterance, now: float) -> None:
        audible = self._turn.floor in (Floor.AGENT, Floor.OVERLAP)
        if not (said.text and said.understood) or (audible and is_backchannel(said.text)):
            self._emit(NothingHeard(now, "backchannel" if said.text else "no words"))
            return
        if self._turn.floor in (Floor.CALLER, Floor.MAYBE_DONE, Floor.OVERLAP):
            self._carried = said.text
            return
        self._happened(Understood(), now)
        self._commit(said.text, said.understood, said.confidence, now)

    def _answer_anyway(self, now: float) -> None:
        """The agent was interrupted but no words came: answer what is open, or say that nothing was understood."""
        last = self.history.messages[-1] if self.history.messages else None
        if last is not None and last.role == "user":
            self._owed = False
            self._queue(Reply(self.agent, self._means()))
        else:
            self._commit("", False, 0.0, now)

    def _commit_keys(self, keys: str, now: float) -> None:
        self._decided = now
        self._happened(Understood(), now)
        self._commit(keys, True, 1.0, now, by="keys")

    def _commit(
        self, text: str, understood: bool, confidence: float, now: float, *, by: str = "voice"
    ) -> None:
        """The caller's turn is complete: it is on record and gets an answer."""
        self._owed, self._carried = False, ""
        clock = ResponseClock(self._turn.spoke_until, self._decided, now)
        self._emit(
            UserTurnCommitted(
                now,
                text,
                understood,
                round(confidence, 3),
                clock.spoke_until,
                round((clock.decided - clock.spoke_until) * 1000, 1),
                round((now - clock.decided) * 1000, 1),
                by,
            )
        )
        self.history.add(Message("user", text, now, understood=understood))
        self._save(self.checkpoint())
        self._queue(Reply(self.agent, self._means(), clock=clock))

    def _ears_failed(self, error: ProviderError, gave_up: bool) -> None:
        self._emit(ProviderFailed(self._loop.time(), error.provider, "stt", error.cause, str(error)))
        if gave_up:
            self.say(self._apology)
            self.end_call("stt_failed")

    # ------------------------------------------------------------ what the agent says

    def _providers(self) -> tuple[Llm, Tts]:
        llm, tts = self.agent.llm or self._services.llm, self.agent.tts or self._services.tts
        if llm is None or tts is None:
            missing = "llm" if llm is None else "tts"
            raise ConfigError(f"agent {self.agent.name!r} has no {missing}. Name one in the plan's defaults.")
        return llm, tts

    def _means(self) -> Means:
        if self._tools is None:
            raise ConfigError("the session does not run yet. Say something in on_enter or later.")
        llm, tts = self._providers()
        return Means(llm, tts, self._out, self.history, self._tools, self._emit, self._loop.time)

    def _queue(self, reply: Reply) -> Reply:
        if self._tasks is None or self._closed.done():
            reply.cut(self._out.played)
            return reply
        task = self._tasks.create_task(self._perform(reply), name=f"reply of {reply.agent.name}")
        self._replies[reply] = task
        return reply

    async def _perform(self, reply: Reply) -> None:
        try:
            async with self._speaking:
                self._reply = reply
                await reply.run()
                self._failures = 0
                if self._reply is reply:  # it made no sound, or the clock has not seen its end
                    self._reply_over(reply, self._loop.time())
        except PipelineError as error:
            self._reply_failed(reply, error)
        finally:
            self._replies.pop(reply, None)

    def _reply_over(self, reply: Reply, now: float) -> None:
        self._reply = None
        if reply.audible:
            reply.report(self._out.played, now)
        self._save(self.checkpoint())
        self._happened(ReplyOver(), now)

    def _reply_failed(self, reply: Reply, error: PipelineError) -> None:
        """The model or the voice failed: apologise, and after the third time in a row end the call."""
        now = self._loop.time()
        provider, cause = ("", "bad_request")
        if isinstance(error, ProviderError):
            provider, cause = error.provider, error.cause
        kind = "tts" if provider == reply.tts_name else "llm"
        self._emit(ProviderFailed(now, provider, kind, cause, str(error)))
        self._reply = None
        self._happened(ReplyOver(), now)
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self.end_call(f"{kind}_failed")
        else:
            self.say(self._apology)

    # ------------------------------------------------------------ tools

    def _tool_runner(self, tasks: asyncio.TaskGroup) -> ToolRunner:
        emit, hand_over = self._emit_and_save, self._hand_over
        return ToolRunner(
            self, self.history, tasks, emit, hand_over, idle=self._is_idle, call_id=self._call_id
        )

    def _is_idle(self) -> bool:
        """Nobody speaks and nobody is owed an answer."""
        return self._turn.floor is Floor.OPEN and not self._replies and self._ending is None

    # ------------------------------------------------------------ comings and goings

    async def _enter(self, agent: Agent, came_from: str) -> None:
        self.agent = agent
        agent.join(self)
        self._listening.expect(agent.hints)
        if self._tools is not None:
            await self._tools.enter(agent)
        self._emit(AgentEntered(self._loop.time(), agent.name, came_from))
        self._show_state("listening")
        await agent.on_enter()

    def _hand_over(self, agent: Agent) -> None:
        if self._tasks is not None:
            self._tasks.create_task(self._change(agent), name=f"hand over to {agent.name}")

    async def _change(self, agent: Agent) -> None:
        """Once the present agent has finished its sentence, the next one enters."""
        async with self._speaking:
            left = self.agent
            await left.on_exit()
            await self._enter(agent, left.name)
            self._save(self.checkpoint())

    async def _hang_up(self, reason: str) -> None:
        async with self._speaking:
            self._control.hang_up(reason)

    def _emit_and_save(self, event: Event) -> None:
        self._emit(event)
        self._save(self.checkpoint())

    def _show_state(self, state: str) -> None:
        old, self._state = self._state, state
        if old != state:
            self._emit(AgentStateChanged(self._loop.time(), old, state))

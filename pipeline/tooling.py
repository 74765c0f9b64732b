"""Running the tools a model asked for: beside the conversation, with a time limit, each exactly once.

A tool runs in a task of its own that an interruption does not touch unless the tool allows it; its result goes
into the history the moment it is there, so that it is never lost. Until then the model is told that it runs, and
asking for the same again starts nothing. What comes when nobody waits for it any more is told by one reply as soon
as nobody speaks. Driven by replying.py; what a tool is says agent/tools.py."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

from pipeline.agent.agent import Agent
from pipeline.agent.arguments import BadArguments, read_arguments
from pipeline.agent.conversation import Conversation
from pipeline.agent.history import RUNNING, History, Message, ToolRequest
from pipeline.agent.tools import FunctionTool, RunContext, StopResponse
from pipeline.agent.toolset import Toolset
from pipeline.errors import PipelineError, ToolError
from pipeline.events import Event, ToolCalled, ToolFinished, ToolProgressed, ToolsetFailed
from pipeline.ports import ToolCall
from pipeline.virtual_clock import outside_if_open

SETUP_TIMEOUT_S = 5.0  # an agent enters without a toolset that takes longer
LAST_TOOLS_S = 10.0  # what a tool that must not be cut short may still take when the call is over
CANCEL_S = 1.0  # how long a cancelled tool may take to let go
NEWS_CHECK_S = 0.1  # how often is looked whether late results may be told
MAX_TOLD_CHARS = 16_000  # of one result: it goes into every later request and checkpoint

Say: TypeAlias = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some tool calls. stop: the model need not be asked what to say about it."""

    stop: bool = False


@dataclass(slots=True, eq=False)
class _Job:
    """One tool call. answered: the model has something to go on with, a result or an interim one."""

    agent: Agent
    call: ToolCall
    key: str
    say: Say | None
    began: float
    answered: asyncio.Future[None]
    task: asyncio.Task[None] | None = None
    tool: FunctionTool | None = None
    late: bool = False  # nobody waits for its result any more
    stop: bool = False
    ended_because: str = ""  # we cancelled it
    asides: list[asyncio.Task[None]] = field(default_factory=list)


class ToolRunner:
    """The tools of one call. A context: on leaving it the tools that still run are ended.

    hand_over: called with the agent that a tool returned. idle: nobody speaks and nobody is owed an answer.
    call_id: the phone call's, part of the idempotency keys. repeats: is this request, which another process was at work
    on, run again?
    """

    def __init__(
        self,
        conversation: Conversation,
        history: History,
        tasks: asyncio.TaskGroup,
        emit: Callable[[Event], None],
        hand_over: Callable[[Agent], None],
        *,
        idle: Callable[[], bool] = lambda: True,
        call_id: str = "",
        repeats: Callable[[ToolRequest], bool] = lambda call: False,
    ) -> None:
        self._repeats = repeats
        self._conversation, self._history, self._tasks = conversation, history, tasks
        self._emit, self._hand_over, self._idle, self._call_id = emit, hand_over, idle, call_id
        self._jobs: list[_Job] = []
        self._over = False
        self._toolsets: list[Toolset] = []
        self._voice = asyncio.Lock()  # one aside at a time
        self._news: tuple[Message, int] | None = None  # the newest late result, requests made before it
        self._news_timer: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def running(self) -> int:
        """How many tools run now, those that nobody waits for included."""
        return len(self._jobs)

    async def __aenter__(self) -> ToolRunner:
        self._settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The call is over: a tool in the middle of its work may finish it, others end now."""
        self._over = True
        if self._news_timer is not None:
            self._news_timer.cancel()
        try:
            if error is None:
                await self._end_all()
        finally:
            while self._toolsets:
                await self._let_go(self._toolsets.pop())

    # ------------------------------------------------------------ for the session

    async def enter(self, agent: Agent) -> None:
        """Have the agent's toolsets ready, those of earlier agents stay. Takes SETUP_TIMEOUT_S at most."""
        new = [toolset for toolset in agent.tools.toolsets if toolset not in self._toolsets]
        await asyncio.gather(*[self._take(toolset) for toolset in new])

    async def run(self, agent: Agent, calls: Sequence[ToolCall], say: Say | None = None) -> Outcome:
        """Run all at once and wait until each has an answer for the model, be it an interim one.

        say: speaks while the tools run. Cancelling the wait (the caller interrupts) ends only cancellable tools.
        """
        jobs: list[_Job] = []
        for call in calls:
            jobs.append(self._start(agent, call, say, jobs))
        try:
            await asyncio.gather(*[asyncio.shield(job.answered) for job in jobs])
            for job in jobs:
                await asyncio.gather(*job.asides)
        except asyncio.CancelledError:
            self._interrupted(jobs)
            raise
        return Outcome(stop=any(job.stop for job in jobs))

    # ------------------------------------------------------------ one call of a tool

    def _start(self, agent: Agent, call: ToolCall, say: Say | None, beside: Sequence[_Job]) -> _Job:
        now = self._loop.time()
        tool = agent.tools.get(call.name)
        key = self._key(call, sum(_same(call, job.call) for job in beside))
        job = _Job(agent, call, key, say, now, self._loop.create_future(), tool=tool)
        twins = [other for other in self._jobs if tool is not None and _is_twin(tool, call, other)]
        self._emit(ToolCalled(now, call.id, call.name, call.arguments))
        if tool is not None and twins and tool.on_duplicate == "reject":
            self._finish(
                job, f"{call.name} is running already. Wait for its result, do not call it again.", ok=False
            )
            return job
        replaced = twins if tool is not None and tool.on_duplicate == "replace" else []
        self._jobs.append(job)
        job.task = self._tasks.create_task(self._one(job, replaced), name=f"tool {call.name}")
        job.task.add_done_callback(lambda _: self._never_began(job))
        return job

    def _never_began(self, job: _Job) -> None:
        """A task that is cancelled before its first step runs no line of its own."""
        if job in self._jobs:
            self._jobs.remove(job)
            self._finish(job, f"{job.call.name} was stopped: {job.ended_because}.", ok=False)

    async def _one(self, job: _Job, replaced: Sequence[_Job]) -> None:
        ok = True
        try:
            if replaced:
                await self._end(replaced, "a newer call took its place")
            result, job.stop = self._told(await self._call(job))
        except StopResponse:
            result, job.stop = "done", True
        except ToolError as error:
            result, ok = str(error), False
        except asyncio.CancelledError:
            if not job.ended_because:
                raise
            result, ok = f"{job.call.name} was stopped: {job.ended_because}.", False
        finally:
            self._jobs.remove(job)
        self._finish(job, result, ok=ok)

    async def _call(self, job: _Job) -> Any:
        tool, call = job.tool, job.call
        if tool is None:
            raise ToolError(f"There is no tool {call.name!r}. Known: {', '.join(job.agent.tools)}.")
        context = RunContext(
            self._conversation,
            job.key,
            lambda message: self._progressed(job, message),
            lambda text: self._aside(job, text),
        )
        try:
            async with asyncio.timeout(tool.timeout_s) as limit:
                with outside_if_open():
                    return await tool.call(context, call.arguments)
        except (ToolError, StopResponse):
            raise
        except Exception as error:  # user code: whatever it raises costs this tool, not the call
            if isinstance(error, TimeoutError) and limit.expired():
                raise ToolError(f"{call.name} did not answer within {tool.timeout_s:g} s.") from error
            raise ToolError(f"{call.name} failed: {type(error).__name__}: {error}") from error

    def _finish(self, job: _Job, result: str, *, ok: bool) -> None:
        now, call = self._loop.time(), job.call
        message = Message("tool", _shortened(result), now, tool_call_id=call.id, ok=ok)
        self._history.add(message)
        took_ms = round((now - job.began) * 1000, 1)
        self._emit(ToolFinished(now, call.id, call.name, message.text, ok, took_ms))
        if not job.answered.done():
            job.answered.set_result(None)
        if job.late and not job.stop and not job.ended_because:
            self._tell(message)

    def _told(self, result: Any) -> tuple[str, bool]:
        """The result in the model's words. An agent takes over instead, with or without a word to say."""
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Agent):
            result = result[0]
        if isinstance(result, Agent):
            if self._over:
                return "The call is over.", True
            self._hand_over(result)
            return f"{result.name} takes over.", True
        if isinstance(result, str):
            return result, False
        return json.dumps(result, ensure_ascii=False, default=str), False

    # ------------------------------------------------------------ what a tool does while it runs

    def _progressed(self, job: _Job, text: str) -> None:
        if job not in self._jobs:
            return
        now, call = self._loop.time(), job.call
        told = f"{_shortened(text)} ({call.name} {RUNNING})"
        message = Message("tool", told, now, tool_call_id=call.id, interim=True)
        self._history.add(message)
        self._emit(ToolProgressed(now, call.id, call.name, text))
        if job.late:
            self._tell(message)
        job.late = True
        if not job.answered.done():
            job.answered.set_result(None)

    def _aside(self, job: _Job, text: str) -> None:
        if job.say is None or job.answered.done():
            self._conversation.say(text)
        else:
            job.asides.append(
                self._tasks.create_task(self._speak(job.say, text), name=f"aside of {job.call.name}")
            )

    async def _speak(self, say: Say, text: str) -> None:
        async with self._voice:
            try:
                await say(text)
            except PipelineError:
                return  # the reply itself will meet the same voice, and reports it

    # ------------------------------------------------------------ late results

    def _tell(self, message: Message) -> None:
        """Nobody waits for this: have it told when nobody speaks, together with what else comes until then."""
        self._news = (message, self._history.requests)
        if not self._over and self._news_timer is None:
            self._news_timer = self._loop.call_soon(self._tell_news)

    def _tell_news(self) -> None:
        self._news_timer = None
        if self._news is None:
            return
        if self._was_told(*self._news):
            self._news = None
        elif self._idle():
            self._news = None
            self._conversation.generate_reply()
        else:
            self._news_timer = self._loop.call_later(NEWS_CHECK_S, self._tell_news)

    def _was_told(self, news: Message, requests: int) -> bool:
        """A model that knew it has answered since."""
        if self._history.requests == requests:
            return False
        for message in reversed(self._history.messages):
            if message is news:
                return False
            if message.role == "assistant" and message.text:
                return True
        return False

    # ------------------------------------------------------------ endings

    def _interrupted(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            job.late = True
            for aside in job.asides:
                aside.cancel()
            if job.tool is not None and job.tool.cancellable and not job.answered.done():
                self._cancel(job, "the caller interrupted")

    def _cancel(self, job: _Job, why: str) -> None:
        if job.task is not None and not job.task.done():
            job.ended_because = job.ended_because or why
            job.task.cancel()

    async def _end(self, jobs: Sequence[_Job], why: str) -> None:
        """Cancel these and wait until they let go, CANCEL_S at most."""
        for job in jobs:
            self._cancel(job, why)
        if tasks := [job.task for job in jobs if job.task is not None]:
            await asyncio.wait(tasks, timeout=CANCEL_S)

    async def _end_all(self) -> None:
        over = "the call is over"
        await self._end([job for job in self._jobs if job.tool is None or job.tool.cancellable], over)
        if tasks := [job.task for job in self._jobs if job.task is not None]:
            await asyncio.wait(tasks, timeout=LAST_TOOLS_S)
        await self._end(list(self._jobs), over)

    def _settle(self) -> None:
        """Requests of a history that comes from another process, whose tools nobody knows the end of."""
        answered = {message.tool_call_id for message in self._history.messages if not message.interim}
        for message in list(self._history.messages):
            for call in message.tool_calls:
                if call.id not in answered and not self._repeats(call):
                    text = (
                        f"It is not known whether {call.name} was done. Make sure before you call it again."
                    )
                    lost = Message("tool", text, self._loop.time(), tool_call_id=call.id, ok=False)
                    self._history.add(lost)

    # ------------------------------------------------------------ toolsets

    async def _take(self, toolset: Toolset) -> None:
        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S):
                with outside_if_open():
                    await toolset.acquire()
        except Exception as error:  # user code: whatever it raises costs this toolset, not the call
            self._toolset_failed(toolset, error)
        else:
            self._toolsets.append(toolset)

    async def _let_go(self, toolset: Toolset) -> None:
        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S):
                with outside_if_open():
                    await toolset.release()
        except Exception as error:  # user code, as above
            self._toolset_failed(toolset, error)

    def _toolset_failed(self, toolset: Toolset, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        self._emit(ToolsetFailed(self._loop.time(), toolset.name, text))

    # ------------------------------------------------------------ idempotency

    def _key(self, call: ToolCall, beside: int) -> str:
        """The same for the same request after the same words of the caller, until it has succeeded."""
        asked = [at for at, message in enumerate(self._history.messages) if message.role == "user"]
        since = self._history.messages[asked[-1] :] if asked else self._history.messages
        done = {m.tool_call_id for m in since if m.role == "tool" and m.ok and not m.interim}
        before = sum(
            request.id in done and _same(call, request) for message in since for request in message.tool_calls
        )
        parts = (self._call_id, len(asked), call.name, _canonical(call.arguments), before + beside)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _is_twin(tool: FunctionTool, call: ToolCall, other: _Job) -> bool:
    """Does `other` do already what this call asks for?"""
    return other.call.name == call.name and (tool.duplicate_scope == "name" or _same(call, other.call))


def _same(call: ToolCall, other: ToolCall | ToolRequest) -> bool:
    return call.name == other.name and _canonical(call.arguments) == _canonical(other.arguments)


def _canonical(arguments: str) -> str:
    """Equal for arguments that mean the same."""
    try:
        return json.dumps(read_arguments(arguments), sort_keys=True)
    except BadArguments:
        return arguments


def _shortened(text: str) -> str:
    cut = len(text) - MAX_TOLD_CHARS
    return text if cut <= 0 else f"{text[:MAX_TOLD_CHARS]}... ({cut} more characters were left out)"

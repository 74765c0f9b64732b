"""One thing the agent says, from the model's first token to the last packet.

A `Reply` streams model → sentences → voice → playout and runs the tools the model asks for. It knows its own
audio (ledger) and writes the history; whether it may go on is the session's business, which may `cut` it at any
moment. Made ahead of the turn's end it stays silent, runs no tool and leaves no trace until it is `adopted`.
Everything here happens once a sentence or less, never once a frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipeline.agent.agent import Agent
from pipeline.agent.history import History, Memory, Message, ToolRequest
from pipeline.delays import ResponseClock, Stages
from pipeline.errors import ConfigError, PipelineError, ProviderError
from pipeline.events import AgentSpoke, AgentStartedSpeaking, Event, ModelUsed, VoiceUsed
from pipeline.hearing.expectation import Expectation
from pipeline.mouth import NORMAL
from pipeline.ports import (
    AudioOut,
    Expecting,
    Llm,
    LlmDelta,
    Metered,
    OwnVoice,
    SpeakingLlm,
    SpeechChunk,
    SpokenDelta,
    TextDelta,
    ToolCall,
    Tts,
    TtsStream,
    Usage,
)
from pipeline.speaking.clip import WORDLESS, Clip
from pipeline.speaking.ledger import Ledger
from pipeline.speaking.normalise import speak
from pipeline.speaking.pace import Pace
from pipeline.speaking.resample import Resampler
from pipeline.speaking.sentence import Sentences
from pipeline.speaking.traced import verbatim
from pipeline.tooling import ToolRunner

MAX_TOOL_STEPS = 3  # then the model must answer in words
PROVIDER_TIMEOUT_S = 8.0  # the longest wait for the next token or the next sound
T = TypeVar("T")
AHEAD_S = 4.0  # synthesised speech that may wait; more would be paid for and thrown away at an interruption


@dataclass(frozen=True, slots=True)
class Means:
    """What a reply is made with. stop: called by a handle's `interrupt`. expect: told what the reply asks for."""

    llm: Llm
    tts: Tts
    out: AudioOut
    history: History
    tools: ToolRunner
    emit: Callable[[Event], None]
    now: Callable[[], float]
    stop: Callable[[Reply], None]
    expect: Callable[[Expectation], None]
    pace: Pace  # of the agent's voice, as this call has taught it
    memory: Memory | None = None  # what the agent knows, None for everything
    saved: Callable[[], None] = lambda: None  # told of every sentence, and of every message in the history


@dataclass(slots=True)
class _Step:
    """One message in the history and the pieces of the ledger that voice it."""

    message: Message
    first: int
    end: int


class Reply:
    """Something the agent says; also the handle that `say` and `generate_reply` return.

    ahead_of: the user message that is not in the history yet; the reply then waits for `adopt`. sound_ahead: may its
    sound be made meanwhile? priority: who speaks first of those who wait (mouth.py)."""

    def __init__(
        self,
        agent: Agent,
        means: Means,
        *,
        text: str | Clip = "",
        instructions: str = "",
        clock: ResponseClock | None = None,
        ahead_of: Message | None = None,
        sound_ahead: bool = True,
        allow_interruptions: bool = True,
        priority: int = NORMAL,
        add_to_history: bool = True,
    ) -> None:
        self.agent = agent
        self.clock = clock
        self.allow_interruptions = allow_interruptions
        self.priority = priority
        self.audible = False
        self.written = False  # every sample is in the playout
        self.interrupted = False
        self.broken = False  # its model or its voice failed in the middle of it
        self.aside = False  # a task talks in the middle of it; it goes on afterwards
        self.failure: PipelineError | None = None  # met while it was made ahead
        self.tts_name = means.tts.name
        self.canned = bool(text)  # no model had to find the words
        self._clip = text if isinstance(text, Clip) else None
        self._text, self._instructions = text.words if isinstance(text, Clip) else text, instructions
        self._add_to_history = add_to_history
        self._means = means
        own_pace = Pace(
            agent.voice.language, agent.voice.speed
        )  # a recording teaches nothing about the voice
        self._ledger = Ledger(means.out.rate_hz, own_pace if self._clip is not None else means.pace)
        self._steps: list[_Step] = []
        self._stages = Stages()
        self._voice: TtsStream | None = None
        self._pump: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        self._quiet: asyncio.Future[None] | None = None
        self._ahead_of, self._sound_ahead = ahead_of, sound_ahead
        self._adopted = asyncio.Event()
        if ahead_of is None:
            self._adopted.set()
        self._tokens = 0
        self._thought = False  # no more words will come
        self._usages: list[Usage] = []  # not told yet
        self._characters = 0  # that the voice was given
        self._working = False  # between two words of the model, or while a tool runs

    # ------------------------------------------------------------ for whoever asked for it

    async def wait_for_playout(self) -> None:
        """Until the last packet has left, or the caller interrupted."""
        await asyncio.shield(self._over)

    def __await__(self) -> Generator[Any, None, None]:
        return self.wait_for_playout().__await__()

    def done(self) -> bool:
        """Was it heard to its end, or cut off?"""
        return self._over.done()

    def add_done_callback(self, callback: Callable[[Reply], None]) -> None:
        """Have `callback(handle)` called when it is done."""
        self._over.add_done_callback(lambda _: callback(self))

    def interrupt(self) -> None:
        """Stop it now, or before it begins."""
        if not self.done():
            self._means.stop(self)

    async def wait_until_quiet(self) -> None:
        """Until what was said so far has been heard; more may follow (a tool waits for the words before it)."""
        if self._all_heard():
            return
        if self._quiet is None:
            self._quiet = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._quiet)

    # ------------------------------------------------------------ for the session

    async def run(self) -> None:
        """Say it. Returns when the last packet has left. Raises ProviderError; cancelling it is `cut`'s doing."""
        try:
            if self._clip is not None:
                await self._play_clip(self._clip)
            elif self._text:
                await self._say(self._text)
            else:
                await self._answer()
            self._thought = True
            await self._finish()
            self.written = True
            if not self._all_heard():
                await self._over
        except ProviderError:
            await self._break_off()
            raise
        finally:
            self._tell_usage()
            await self._stop_voice()
            self._resolve()

    async def _break_off(self) -> None:
        """The model or the voice failed: what there is of it is heard, and no more than that was said."""
        if not self._adopted.is_set():
            return
        with suppress(ProviderError):  # the model's last words may still become sound
            await self._finish()
        self.broken = True
        if self._ledger.begins is not None:
            while self._means.out.queued:
                await self.wait_until_quiet()
        self.cut(self._means.out.played)

    def adopt(self, clock: ResponseClock) -> None:
        """The turn ended with the words that it answers: it may be heard."""
        self.clock = clock
        self._ahead_of = None
        self._adopted.set()

    @property
    def asks(self) -> bool:
        """Does it end with a question?"""
        return self._ledger.text().endswith(("?", "？"))

    @property
    def tokens(self) -> int:
        """Output tokens of the model so far; words, where the provider counts none."""
        return self._tokens

    async def fill(self, text: str) -> None:
        """Say this while the model or a tool takes its time. Ignored once it is all said."""
        if self._working and self._adopted.is_set() and not self.written:
            await self._speak(f"{text} ")

    def sounded(self, now: float) -> bool:
        """A packet leaves now. Returns True if it is the first of this reply."""
        begins = self._ledger.begins
        if self.audible or begins is None or self._means.out.played <= begins:
            return False
        self.audible = True
        started = self._stages.started(self.agent.name, self.clock, now) if self.clock else None
        self._means.emit(started or AgentStartedSpeaking(now, self.agent.name))
        return True

    def fell_silent(self) -> bool:
        """The playout ran dry. Returns True if that was the end of the reply."""
        if not self._all_heard():
            return False
        self._resolve_quiet()
        if not self.written:
            return False
        self._resolve()
        return True

    def heard_ms(self, position: int) -> int:
        """How much of it had left for the phone when speech stopped at `position`."""
        begins = self._ledger.begins
        return 0 if begins is None else max(0, round((position - begins) * 1000 / self._means.out.rate_hz))

    def word_at(self, position: int) -> int:
        """Where the word began that was being said at `position`."""
        return self._ledger.word_at(position)

    def report(self, position: int, now: float) -> None:
        """Say in the event log what was heard. position: where speech ended."""
        heard, planned = self._ledger.heard(position), self._ledger.text()
        planned = planned if planned != heard else ""
        heard_ms = self.heard_ms(position)
        self._means.emit(AgentSpoke(now, self.agent.name, heard, heard_ms, self.interrupted, planned))

    def cut(self, position: int) -> None:
        """The caller took the floor. The history keeps what was heard up to `position`."""
        self.interrupted = True
        if isinstance(self._voice, OwnVoice) and not self.done():
            self._voice.heard(self.heard_ms(position))
        for step in self._steps:
            heard = self._ledger.heard(position, step.first, step.end)
            if heard != self._ledger.text(step.first, step.end):
                keep = bool(heard or step.message.tool_calls)
                new = replace(step.message, text=heard, interrupted=True) if keep else None
                self._means.history.revise(step.message, new)
        unnoted = self._ledger.heard(position, self._steps[-1].end if self._steps else 0)
        if unnoted and self._add_to_history:
            now, name = self._means.now(), self.agent.name
            self._means.history.add(Message("assistant", unnoted, now, agent=name, interrupted=True))
        self._resolve()

    def dump(self) -> dict[str, Any]:
        """What another process needs to go on with it. Plain values. It says the words of a recording."""
        if self._clip is not None and not self._clip.words:
            return dict(WORDLESS)
        places = {id(message): place for place, message in enumerate(self._means.history.messages)}
        return {
            "text": self._text,
            "instructions": self._instructions,
            "thought": self._thought or self.written,
            "noted": self._add_to_history,
            "protected": not self.allow_interruptions,
            "ledger": self._ledger.dump(),
            "steps": [[places.get(id(step.message), -1), step.first, step.end] for step in self._steps],
        }

    # ------------------------------------------------------------ what is said

    async def _say(self, text: str) -> None:
        sentences = Sentences(self.agent.voice.language)
        for piece in [*sentences.feed(text), *sentences.finish()]:
            await self._speak(piece)
        if self._add_to_history:
            self._note(text.strip(), 0, ())

    async def _play_clip(self, clip: Clip) -> None:
        """Out of a recording; its words by the voice if it cannot be had."""
        if (sound := await clip.fetch()) is None:
            if clip.words:
                await self._say(clip.words)
            return
        self._ledger.said(verbatim(clip.shown))
        self._ledger.placed(0, self._means.out.play(sound), len(sound), (), last=True)
        if self._add_to_history:
            self._note(clip.shown, 0, ())

    async def _aside(self, text: str) -> None:
        """Words of a tool that runs: in the same voice, before what the model says next."""
        first, sentences = len(self._ledger), Sentences(self.agent.voice.language)
        for piece in [*sentences.feed(text), *sentences.finish()]:
            await self._speak(piece)
        self._note(text, first, ())

    async def _answer(self) -> None:
        for step in range(MAX_TOOL_STEPS + 1):
            calls = await self._ask(final=step == MAX_TOOL_STEPS)
            if not calls:
                return
            began = self._means.now()
            self._working = True
            outcome = await self._means.tools.run(self.agent, calls, self._aside)
            self._working = False
            if not self._stages.first_piece:
                self._stages.tool_s += self._means.now() - began
            if outcome.stop:
                return

    async def _ask(self, *, final: bool) -> list[ToolCall]:
        """One request to the model: its words are spoken as they come, its tool calls returned."""
        first = len(self._ledger)
        sentences, calls, text = Sentences(self.agent.voice.language), list[ToolCall](), ""
        asked_for: Expectation | None = None
        self._working = True
        async with aclosing(self._request(final=final)) as deltas:
            while (delta := await _within_time(deltas, self._means.llm.name, "token")) is not None:
                if isinstance(delta, TextDelta):
                    text += delta.text
                    self._tokens += 1
                    for piece in sentences.feed(delta.text, self._means.now()):
                        self._working = False
                        await self._speak(piece)
                elif isinstance(delta, SpokenDelta):
                    self._working = False
                    await self._say_itself(delta, goes_on=bool(text))
                    text += delta.text
                elif isinstance(delta, ToolCall):
                    calls.append(delta)
                elif isinstance(delta, Expecting):
                    asked_for = Expectation.parse(delta.line)
                else:
                    self._usages.append(delta)
        self._working = False
        for piece in sentences.finish():
            await self._speak(piece)
        await self._adopted.wait()
        if asked_for is not None:
            self._means.expect(asked_for)
        self._tell_models()
        if text.strip() or calls:
            requests = tuple(ToolRequest(call.id, call.name, call.arguments) for call in calls)
            self._note(text.strip(), first, requests)
        return calls

    def _tell_models(self) -> None:
        now, name = self._means.now(), self._means.llm.name
        usages, self._usages = self._usages, []
        for one in usages:
            if one.input_tokens or one.output_tokens or one.cached_tokens:
                counts = one.input_tokens, one.output_tokens, one.cached_tokens
                self._means.emit(ModelUsed(now, one.provider or name, *counts))

    def _tell_usage(self) -> None:
        """What it took, also if nobody heard it."""
        self._tell_models()
        voice, characters = self._voice, self._characters
        used = voice.used() if isinstance(voice, Metered) else {self.tts_name: characters}
        for name, count in used.items():
            if count:
                self._means.emit(VoiceUsed(self._means.now(), name, round(count)))

    def _request(self, *, final: bool) -> AsyncGenerator[LlmDelta, None]:
        history = self._means.history.for_model(self.agent.instructions, self._means.memory)
        if self._ahead_of is not None:
            history.append(self._ahead_of)
        if self._instructions:
            history.append(Message("system", self._instructions))
        tools = [tool.spec for tool in self.agent.tools.values()]
        llm = self._means.llm
        llm = llm.aloud if isinstance(llm, SpeakingLlm) else llm
        return self.agent.llm_node(llm, history, tools, tool_choice="none" if final else "auto")

    def _note(self, text: str, first: int, calls: tuple[ToolRequest, ...]) -> None:
        message = Message("assistant", text, self._means.now(), agent=self.agent.name, tool_calls=calls)
        self._means.history.add(message)
        self._steps.append(_Step(message, first, len(self._ledger)))
        self._ledger.end_message()
        self._means.saved()

    # ------------------------------------------------------------ how it sounds

    async def _speak(self, piece: str) -> None:
        spoken = speak(piece, self.agent.voice.language, self.agent.pronounce.rules)
        if not spoken.text:
            self._ledger.silent(piece)
            return
        voice = await self._opened()
        self._ledger.said(spoken)
        voice.say(spoken.text)
        self._means.saved()
        self._characters += len(spoken.text)

    async def _say_itself(self, delta: SpokenDelta, *, goes_on: bool) -> None:
        """The model says this; there is nothing to prepare in its words."""
        if goes_on:
            self._ledger.grow(delta.text)
            return
        voice = await self._opened()
        if not isinstance(voice, OwnVoice):
            raise ConfigError(
                f"agent {self.agent.name!r} has a voice that its model cannot speak with. Take out its tts_node."
            )
        self._ledger.said(verbatim(delta.text))
        voice.join(delta.sound)
        self._means.saved()

    async def _opened(self) -> TtsStream:
        """The voice; a piece for it is there."""
        if not self._sound_ahead:
            await self._adopted.wait()
        if self._voice is None:
            self._voice = await self.agent.tts_node(self._means.tts)
            self._pump = asyncio.create_task(self._play(self._voice), name="voice")
            self._pump.add_done_callback(lambda _: self._resolve_quiet())
        if not self._stages.first_piece:
            self._stages.first_piece = self._means.now()
        return self._voice

    async def _play(self, voice: TtsStream) -> None:
        """Synthesised speech into the playout, as it comes."""
        out = self._means.out
        resampler = Resampler(self._means.tts.rate_hz, out.rate_hz)
        chunks = aiter(voice)
        while (chunk := await self._next_chunk(chunks)) is not None:
            pcm = resampler.feed(chunk.pcm)
            if not self._stages.first_sound and len(pcm):
                self._stages.first_sound = self._means.now()
            await self._adopted.wait()
            position = out.play(pcm)
            self._ledger.placed(chunk.piece, position, len(pcm), chunk.words, last=chunk.last)
            if chunk.last:
                self._means.saved()
            ahead = out.queued / out.rate_hz
            if ahead > AHEAD_S:
                await asyncio.sleep(ahead - AHEAD_S)
        out.play(resampler.finish())

    async def _next_chunk(self, chunks: AsyncIterator[SpeechChunk]) -> SpeechChunk | None:
        if self._ledger.placed_all:  # the model is still thinking of the next sentence
            return await anext(chunks, None)
        return await _within_time(chunks, self._means.tts.name, "sound")

    async def _finish(self) -> None:
        if self._voice is not None and self._pump is not None:
            self._voice.finish()
            await self._pump

    async def _stop_voice(self) -> None:
        if self._voice is not None and self._pump is not None:
            self._pump.cancel()
            await self._voice.aclose()
            await asyncio.gather(self._pump, return_exceptions=True)

    def _all_heard(self) -> bool:
        return self._means.out.queued == 0 and (self.broken or self._ledger.placed_all)

    def _resolve(self) -> None:
        self._resolve_quiet()
        if not self._over.done():
            self._over.set_result(None)

    def _resolve_quiet(self) -> None:
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)
        self._quiet = None


async def _within_time(stream: AsyncIterator[T], provider: str, what: str) -> T | None:
    """The stream's next item, None at its end. Raises ProviderError when the provider takes too long."""
    try:
        async with asyncio.timeout(PROVIDER_TIMEOUT_S):
            return await anext(stream, None)
    except TimeoutError as error:
        fact = f"no {what} for {PROVIDER_TIMEOUT_S:.0f} s. Choose a faster one or a fallback."
        raise ProviderError(provider, "timeout", fact) from error

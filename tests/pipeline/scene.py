"""A scene of turn-taking: what the caller's line brings and when, which providers there are, and how it must go.

`play(scene, late_s)` is one call on the virtual clock, with everything the caller does put off by late_s: the same
scene must go the same way wherever between two ticks of the media clock it falls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.errors import ProviderError
from pipeline.events import (
    AgentSpoke,
    AgentStateChanged,
    CallerPartlyHeard,
    Event,
    ModelUsed,
    RecogniserUsed,
    UserTurnCommitted,
    VoiceUsed,
)
from pipeline.options import Silence, TurnHandling
from pipeline.ports import Final, Frame, Hints, Llm, Partial, SpeechChunk, SttEvent, Tts, Voice
from pipeline.providers.fake import FakeLlm, FakeTts, FakeTtsStream
from pipeline.testing.virtual_clock import run
from tests.pipeline.rig import RATE, SILENCE, Rig

FRAME_S = 0.02
PREROLL_S = 0.4  # a recogniser is given so much of the sound before speech was noticed
QUIET_KINDS = (
    AgentStateChanged,
    CallerPartlyHeard,
    ModelUsed,
    RecogniserUsed,
    VoiceUsed,
)  # they follow from the others


@dataclass(frozen=True, slots=True)
class Say:
    """The caller's line is loud from start to end, in s; words: said in it, evenly spread."""

    start: float
    end: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class Ear:
    """How the recogniser behaves. Times in s.

    partials: does it tell words while they are said? unanswered: turns (0 is the first) that never get their Final.
    dies_at: loop time at which its stream fails. complete: what it thinks of the words so far."""

    delay_s: float = 0.15
    partials: bool = True
    unanswered: frozenset[int] = frozenset()
    late: dict[int, float] = field(default_factory=dict)  # turn: delay instead of delay_s
    dies_at: float | None = None
    complete: Callable[[str], bool | None] = lambda words: None


@dataclass(frozen=True, slots=True)
class Scene:
    """One situation on the phone. story: kinds of events in their order, without those that follow from others.

    agent: made anew for each call. checks: facts of the call beside the order of events."""

    name: str
    story: str
    agent: Callable[[], Agent] = Agent
    says: tuple[Say, ...] = ()
    keys: tuple[tuple[float, str], ...] = ()
    ear: Ear = Ear()
    llm: Callable[[], Llm] = lambda: FakeLlm("That is fine.", delay_s=0.3)
    tts: Callable[[], Tts] = lambda: FakeTts(RATE, 50.0, delay_s=0.1)
    options: TurnHandling | None = None
    silence: Silence | None = None
    hangs_up_at: float | None = None  # the caller, loop time
    seconds: float = 6.0
    echo: float = 0.0  # of our voice, as a share of its level, after echo_s
    echo_s: float = 0.06
    checks: Callable[[SceneRig], None] = lambda rig: None


class WordsStt:
    """A recogniser that hears the words of a scene when they are said, if it was told of the turn."""

    name = "words"

    def __init__(self, says: Sequence[Say], ear: Ear) -> None:
        self.said = [word for say in says for word in _timed(say)]
        self.ear = ear
        self.turn = 0
        self.opened = 0

    async def open(self, *, rate_hz: int, hints: Hints) -> WordsStream:
        self.opened += 1
        return WordsStream(self)


class WordsStream:
    def __init__(self, stt: WordsStt) -> None:
        self._stt = stt
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[SttEvent | ProviderError | None] = asyncio.Queue()
        self._from: float | None = None
        self._done = self._opened = self._loop.time()
        for at, _ in stt.said if stt.ear.partials else ():
            if at >= self._loop.time():
                self._loop.call_at(at + 0.1, self._hint)
        if stt.ear.dies_at is not None and stt.ear.dies_at > self._loop.time():
            error = ProviderError("words", "connectivity", "connection reset")
            self._loop.call_at(stt.ear.dies_at, self._events.put_nowait, error)

    def push(self, frame: Frame) -> None: ...
    def expect(self, hints: Hints) -> None: ...

    def start_turn(self) -> None:
        if self._from is None:
            self._from = max(self._loop.time() - PREROLL_S, self._done, self._opened)

    def end_turn(self) -> None:
        number, ear = self._stt.turn, self._stt.ear
        self._stt.turn += 1
        text, self._from, self._done = self._words(), None, self._loop.time()
        if number not in ear.unanswered:
            final = Final(text, ends_turn=True)
            self._loop.call_later(ear.late.get(number, ear.delay_s), self._events.put_nowait, final)

    def _words(self) -> str:
        if self._from is None:
            return ""
        now = self._loop.time()
        return " ".join(word for at, word in self._stt.said if self._from <= at < now)

    def _hint(self) -> None:
        if words := self._words():
            self._events.put_nowait(Partial(words, self._stt.ear.complete(words)))

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, ProviderError):
                raise event
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(None)


class SyllablesTts(FakeTts):
    """A voice that rises and falls as speech does: an echo of it can be told from anything else."""

    async def open(self, voice: Voice) -> FakeTtsStream:
        return _Syllables(await super().open(voice), self.rate_hz)


class _Syllables(FakeTtsStream):
    def __init__(self, stream: FakeTtsStream, rate_hz: int) -> None:
        self._stream, self._rate_hz, self._at = stream, rate_hz, 0

    def say(self, text: str) -> None:
        self._stream.say(text)

    def finish(self) -> None:
        self._stream.finish()

    async def __anext__(self) -> SpeechChunk:
        chunk = await anext(self._stream)
        at = (self._at + np.arange(len(chunk.pcm))) / self._rate_hz
        self._at += len(chunk.pcm)
        swell = 0.15 + 0.85 * np.sin(np.pi * 3.1 * at) ** 2 * np.cos(np.pi * 0.7 * at) ** 2
        return SpeechChunk((chunk.pcm * swell).astype(np.int16), chunk.piece, chunk.words, chunk.last)

    async def aclose(self) -> None:
        await self._stream.aclose()


class SceneRig(Rig):
    """A call whose line brings our own voice back."""

    def __init__(self, scene: Scene, says: Sequence[Say], keys: Sequence[tuple[float, str]]) -> None:
        self.stt = WordsStt(says, scene.ear)
        super().__init__(
            scene.agent(),
            speech=[(say.start, say.end) for say in says],
            keys=keys,
            stt=self.stt,
            llm=scene.llm(),
            tts=scene.tts(),
            options=scene.options,
            silence=scene.silence,
        )
        self._hangs_up_at = scene.hangs_up_at
        self._gain = np.float32(scene.echo)
        self._returning: deque[Frame] = deque([SILENCE] * round(scene.echo_s / FRAME_S))

    def sends(self, frame: Frame, now: float) -> Frame:
        if self._hangs_up_at is not None and now >= self._hangs_up_at:
            self.session.close("caller_hung_up")
        return frame + self._returning.popleft() if self._gain else frame

    def gets(self, frame: Frame | None) -> None:
        if self._gain:
            self._returning.append(SILENCE if frame is None else (frame * self._gain).astype(np.int16))

    def spoken(self) -> list[str]:
        """What the agent said, as far as it was heard."""
        return [event.text for event in self.of(AgentSpoke)]

    def turns(self) -> list[str]:
        """What the caller was understood to say; "?" for a turn that was not understood."""
        return [event.text if event.understood else "?" for event in self.of(UserTurnCommitted)]

    def story(self) -> list[str]:
        """The kinds of events, in order."""
        return [type(event).__name__ for event in self.events if not isinstance(event, QUIET_KINDS)]

    def told(self) -> str:
        """The story with its times and facts, for an assertion message."""
        return "\n".join(_told(event) for event in self.events if not isinstance(event, QUIET_KINDS))


def play(scene: Scene, late_s: float = 0.0) -> SceneRig:
    """One call of this scene."""
    says = [Say(say.start + late_s, say.end + late_s, say.words) for say in scene.says]
    keys = [(at + late_s, key) for at, key in scene.keys]

    async def call() -> SceneRig:
        rig = SceneRig(scene, says, keys)
        await rig.run(scene.seconds)
        return rig

    return run(call)


def _timed(say: Say) -> list[tuple[float, str]]:
    words = say.words.split()
    step = (say.end - say.start) / (len(words) or 1)
    return [(say.start + (number + 0.5) * step, word) for number, word in enumerate(words)]


def _told(event: Event) -> str:
    kind, _, facts = repr(event).partition("(at=")
    at, _, rest = facts.rstrip(")").partition(", ")
    return f"{float(at):7.2f} {kind} {rest}"

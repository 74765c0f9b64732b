"""A whole phone call without a phone, on a virtual clock: who speaks when, over whom, and what is heard of it.

The session is the real one, ticked every 20 ms as the media clock does; the caller is caller.py's, providers are fakes
unless others are given. The same call has the same events every time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

from pipeline.agent.agent import Agent
from pipeline.events import AgentSpoke, AgentStartedSpeaking, Event, UserTurnCommitted
from pipeline.options import Silence, TurnHandling
from pipeline.ports import AudioOut, Frame, Llm, Metered, SpeechChunk, Stt, Tts, TtsStream, Vad, Voice
from pipeline.providers.fake import FakeLlm, FakeTts, FakeVad
from pipeline.resuming import Before
from pipeline.session import Services, Session
from pipeline.testing.caller import Act, Caller, CallerStt, Deeds
from pipeline.testing.expect import Result
from pipeline.testing.phone import FakePhone
from pipeline.testing.speaker import Speaker
from pipeline.testing.story import Story
from pipeline.testing.virtual_clock import run

TICK_S = 0.02
CALM_S = 2.0  # nobody says anything and the caller has nothing left to do: the call is over
LONGEST_S = 600.0
MS_PER_CHAR = 50.0  # of the agent's voice

E = TypeVar("E", bound=Event)


class Line(Protocol):
    """What happens to sound between the caller's phone and us: noise, echo."""

    def sends(self, frame: Frame, now: float) -> Frame:
        """What becomes of 20 ms of the caller. now: loop time, s."""

    def gets(self, frame: Frame | None) -> None:
        """20 ms that leave for the caller's phone, None for silence."""


class VirtualCall:
    """One call. `VirtualCall(agent, [Says("hello", at=2.0)]).play()` in a plain test.

    acts: what the caller does. stt: instead of one that understands what the caller says. llm: unless the agent has
    its own. out, phone: instead of fakes. line: between the caller and us, None for a perfect one.
    Afterwards: events; heard, per tick of 20 ms: did sound leave for the phone? saved: the checkpoints; phone: what the
    agent did to the call; result: what happened, to be asserted.
    """

    def __init__(
        self,
        agent: Agent,
        acts: Sequence[Act] = (),
        *,
        llm: Llm | None = None,
        stt: Stt | None = None,
        tts: Tts | None = None,
        vad: Vad | None = None,
        options: TurnHandling | None = None,
        silence: Silence | None = None,
        userdata: Any = None,
        announcement: str = "",
        on_failure: str = "",
        rate_hz: int = 8000,
        out: AudioOut | None = None,
        phone: FakePhone | None = None,
        line: Line | None = None,
        before: Before | None = None,
    ) -> None:
        self._before = before
        self.agent = agent
        self.heard: list[bool] = []
        self.saved: list[dict[str, Any]] = []
        self.phone = phone or FakePhone()
        self._rate_hz = rate_hz
        self._story = Story()
        self._ears = stt or CallerStt()
        self._out = _Overheard(out or Speaker(rate_hz))
        voice = _Marked(tts or FakeTts(rate_hz, MS_PER_CHAR), self._out)
        self._services = Services(vad or FakeVad(rate_hz), self._ears, llm or FakeLlm(), voice)
        self._options, self._silence = options, silence or Silence(after_s=0.0)
        self._userdata = {} if userdata is None else userdata
        self._announcement, self._on_failure = announcement, on_failure
        self._base = 0.0
        self._line = line
        self._caller = Caller(acts, Deeds(self._key, self._hang_up, self._words, self._tone), rate_hz)

    @cached_property
    def session(self) -> Session:
        """The conversation; made on the loop that it runs on."""
        session = Session(
            self.agent,
            self._services,
            self._out,
            self.phone,
            emit=self._happened,
            save=self.saved.append,
            options=self._options,
            silence=self._silence,
            userdata=self._userdata,
            history=self._story.history,
            before=self._before,
            announcement=self._announcement,
            on_failure=self._on_failure,
            call_id="virtual-call",
        )
        self.phone.connect(session)
        return session

    def add(self, act: Act) -> None:
        """One thing more for the caller to do."""
        self._caller.add(act)

    # ------------------------------------------------------------ time

    def play(self, seconds: float | None = None) -> Self:
        """The whole call on a virtual clock of its own, for plain tests. See `run`."""
        return run(lambda: self.run(seconds))

    async def run(self, seconds: float | None = None) -> Self:
        """The call for so long, or until somebody hangs up. Without seconds until the caller has done everything and
        all is quiet.

        Raises AssertionError if an act waited for a moment that never came."""
        await self.session.prepare()
        talking = asyncio.create_task(self.session.run(), name="virtual call")
        loop = asyncio.get_running_loop()
        self._base, calm = loop.time(), 0
        for tick in range(round((LONGEST_S if seconds is None else seconds) / TICK_S)):
            await asyncio.sleep(max(0.0, self._base + tick * TICK_S - loop.time()))
            if talking.done():
                break
            self._tick(loop.time())
            calm = calm + 1 if seconds is None and self._is_calm() else 0
            if calm * TICK_S >= CALM_S:
                break
        self.session.close("test_over")
        await talking
        if missed := self._caller.never_came:
            raise AssertionError(
                f"The caller waited in vain: {missed[0]} (at {missed[0].at}).\n{Result(self._story, whole=True)}"
            )
        return self

    def _tick(self, now: float) -> None:
        sound = self._caller.frame(now - self._base)
        self.session.caller_held(self._caller.held, now)
        self.session.hear(sound if self._line is None else self._line.sends(sound, now), now)
        frame = self.session.speak(now)
        if self._line is not None:
            self._line.gets(frame)
        self.heard.append(frame is not None)
        for words in self._out.began():
            self._caller.heard.sentences.append((words, now - self._base))

    def _is_calm(self) -> bool:
        return self._caller.done and self.session.at_rest and not self.session.tools_running

    # ------------------------------------------------------------ what the caller does and notices

    def _key(self, key: str) -> None:
        self.session.key(key, asyncio.get_running_loop().time())

    def _tone(self, kind: str) -> None:
        self.session.tone(kind, asyncio.get_running_loop().time())

    def _hang_up(self) -> None:
        self.session.close("caller_hung_up")

    def _words(self, word: str) -> None:
        if isinstance(self._ears, CallerStt):
            self._ears.hears(word)

    def _happened(self, event: Event) -> None:
        self._story.emit(event)
        if isinstance(event, AgentStartedSpeaking):
            self._caller.heard.agent_begins.append(event.at - self._base)
        elif isinstance(event, AgentSpoke):
            self._caller.heard.agent_stops.append(event.at - self._base)

    # ------------------------------------------------------------ what happened

    @property
    def events(self) -> list[Event]:
        """Everything, in order."""
        return self._story.events

    @cached_property
    def result(self) -> Result:
        """What happened, to be asserted when the call is over: the caller's words, the agent's, tools, handoffs."""
        return Result(self._story, whole=True)

    @property
    def sentences(self) -> list[tuple[str, float]]:
        """What the voice said, and when its first packet left: s from the beginning of the call. Known where the
        voice has the call's rate and is not the agent's own."""
        return self._caller.heard.sentences

    @property
    def latencies_ms(self) -> list[float]:
        """From the end of the caller's words to the first packet of each answer."""
        started = self.of(AgentStartedSpeaking)
        return [event.response_delay_ms for event in started if event.response_delay_ms is not None]

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        """The names of the events."""
        return [type(event).__name__ for event in self.events]

    def said(self) -> list[tuple[str, str]]:
        """What is in the history: (role, text)."""
        return [(message.role, message.text) for message in self._story.history.messages]

    def transcript(self) -> list[tuple[str, str]]:
        """What was understood of the caller and heard of the agent: ("caller" or "agent", text)."""
        lines: list[tuple[str, str]] = []
        for event in self.events:
            if isinstance(event, UserTurnCommitted):
                lines.append(("caller", event.text))
            elif isinstance(event, AgentSpoke):
                lines.append(("agent", event.text))
        return lines


# ---------------------------------------------------------------- what is being said right now


class _Overheard:
    """An AudioOut between the session and another one, that knows which sentence begins."""

    def __init__(self, out: AudioOut) -> None:
        self._out = out
        self._marks: dict[
            int, tuple[Frame, str]
        ] = {}  # first sound of a sentence, which keeps its id its own
        self._coming: list[tuple[int, str]] = []  # position, words

    def mark(self, pcm: Frame, words: str) -> None:
        """A sentence begins with this sound."""
        self._marks[id(pcm)] = pcm, words

    def began(self) -> list[str]:
        """The sentences whose first sample has left since this was asked last."""
        begun = [words for position, words in self._coming if position < self._out.played]
        self._coming = self._coming[len(begun) :]
        return begun

    @property
    def rate_hz(self) -> int:
        return self._out.rate_hz

    @property
    def played(self) -> int:
        return self._out.played

    @property
    def queued(self) -> int:
        return self._out.queued

    def play(self, pcm: Frame) -> int:
        position = self._out.play(pcm)
        if (mark := self._marks.pop(id(pcm), None)) is not None:
            self._coming.append((position, mark[1]))
        return position

    def pull(self) -> Frame | None:
        return self._out.pull()

    def flush(self) -> int:
        self._coming.clear()
        return self._out.flush()

    def duck(self, on: bool) -> None:
        self._out.duck(on)

    def pause(self) -> int:
        return self._out.pause()

    def resume(self, position: int) -> None:
        self._out.resume(position)


class _Marked:
    """A voice that tells which sound is the beginning of which words."""

    def __init__(self, tts: Tts, out: _Overheard) -> None:
        self.name, self.rate_hz = tts.name, tts.rate_hz
        self._tts, self._out = tts, out

    async def open(self, voice: Voice) -> _MarkedStream:
        return _MarkedStream(await self._tts.open(voice), self._out, self.name)


class _MarkedStream:
    """One reply being spoken."""

    def __init__(self, stream: TtsStream, out: _Overheard, name: str) -> None:
        self._stream, self._out, self._name = stream, out, name
        self._pieces: list[str] = []
        self._marked = self._characters = 0

    def say(self, text: str) -> None:
        self._pieces.append(text)
        self._characters += len(text)
        self._stream.say(text)

    def used(self) -> Mapping[str, float]:
        """As the voice tells it."""
        return self._stream.used() if isinstance(self._stream, Metered) else {self._name: self._characters}

    def finish(self) -> None:
        self._stream.finish()

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        async for chunk in self._stream:
            if chunk.piece >= self._marked and len(chunk.pcm):
                self._marked = chunk.piece + 1
                self._out.mark(chunk.pcm, self._pieces[chunk.piece])
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()

"""A LiveKit STT plugin as pipeline.ports.Stt: streaming ones always listen, the others get each turn when it ends.

A plugin knows no `end_turn`: it says what is final when its vendor thinks so. At the end of a turn this asks it to
flush and waits for what is still only interim, `turn_end_wait_ms` at most; then the interim text has to do."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from livekit import rtc
from livekit.agents import stt

from pipeline.errors import ConfigError, ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.hearing.preroll import Preroll
from pipeline.ports import Final, Frame, Hints, Partial, SttEvent
from pipeline.providers.livekit.backstage import OPTIONS, Backstage
from pipeline.providers.livekit.faults import translated
from pipeline.providers.livekit.loading import Blueprint

_SLOT = re.compile(r"\{[^}]*\}")
LONGEST_TERM_WORDS, MOST_TERMS = 4, 50
TERM_OPTIONS = ("keyterm", "keyterms_prompt", "keyterms")  # lists of words, as plugins call them


def adapt(blueprint: Blueprint, turn_end_wait_ms: int = 500) -> LivekitStt:
    """The provider around a plugin."""
    if turn_end_wait_ms < 0:
        raise ConfigError(f"{blueprint.name}: turn_end_wait_ms is {turn_end_wait_ms}. Choose 0 or more.")
    return LivekitStt(blueprint, turn_end_wait_ms)


class LivekitStt:
    """One plugin object for each rate and set of key terms: plugins take them when they are made."""

    def __init__(self, blueprint: Blueprint, turn_end_wait_ms: int = 500) -> None:
        self.name = blueprint.name
        self._blueprint, self._wait_s = blueprint, turn_end_wait_ms / 1000
        self._plugins: dict[tuple[Any, ...], stt.STT[Any]] = {(): blueprint.build()}
        self._backstage = Backstage()

    async def open(self, *, rate_hz: int, hints: Hints) -> LivekitStream | LivekitTurns:
        await self._backstage.ready()
        plugin = self._plugin(rate_hz, hints)
        told = {} if "language" in self._blueprint.options else {"language": hints.language}
        with translated(self.name):
            if not plugin.capabilities.streaming:
                return LivekitTurns(self.name, plugin, self._backstage, rate_hz, told)
            stream = self._backstage.begin(lambda: plugin.stream(conn_options=OPTIONS, **told))
        return LivekitStream(self.name, stream, self._backstage, rate_hz, self._wait_s)

    async def warm(self) -> None:
        """Connect ahead of the first call, where the plugin can."""
        await self._backstage.ready()
        self._backstage.begin(self._plugins[()].prewarm)

    async def aclose(self) -> None:
        for plugin in self._plugins.values():
            await self._backstage.end(plugin)
        await self._backstage.aclose()

    def _plugin(self, rate_hz: int, hints: Hints) -> stt.STT[Any]:
        wishes: dict[str, Any] = {}
        if name := self._blueprint.takes("sample_rate"):
            wishes[name] = rate_hz
        if (name := self._blueprint.takes(*TERM_OPTIONS)) and (terms := _terms(hints.phrases)):
            wishes[name] = terms
        key = (rate_hz, *wishes.get(name, ())) if wishes else ()
        if key not in self._plugins:
            self._plugins[key] = self._blueprint.build(wishes)
        return self._plugins[key]


class LivekitStream:
    """One call's recogniser over a streaming plugin."""

    def __init__(
        self, name: str, stream: stt.RecognizeStream, backstage: Backstage, rate_hz: int, wait_s: float
    ) -> None:
        self._name, self._stream, self._backstage = name, stream, backstage
        self._rate_hz, self._wait_s = rate_hz, wait_s
        self._loop = asyncio.get_running_loop()
        self._mailbox = SttMailbox()
        self._said: list[stt.SpeechData] = []  # final, of the turn that is going on
        self._interim = ""
        self._owed: deque[asyncio.TimerHandle] = deque()
        self._force: Callable[[], None] = getattr(
            stream, "force_endpoint", lambda: None
        )  # AssemblyAI's flush
        self._reading = self._loop.create_task(self._read(), name=f"hear {name}")

    def push(self, frame: Frame) -> None:
        if not self._mailbox.closed:
            with suppress(RuntimeError):  # it has just ended: the reading task is about to say why
                self._stream.push_frame(rtc.AudioFrame(frame.tobytes(), self._rate_hz, 1, len(frame)))

    def start_turn(self) -> None:
        """It always listens."""

    def end_turn(self) -> None:
        if self._mailbox.closed:
            return
        with suppress(RuntimeError):  # as above
            self._stream.flush()
            self._force()
        if self._said and not self._interim:
            self._end_turn()
        else:
            self._owed.append(self._loop.call_later(self._wait_s, self._overdue))

    def expect(self, hints: Hints) -> None:
        """A plugin takes key terms when it is made: the next call has them."""

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        self._mailbox.close()
        self._settle()
        if not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])
            await self._backstage.dismiss(self._stream.aclose())

    async def _read(self) -> None:
        try:
            with translated(self._name):
                async for event in self._stream:
                    self._take(event)
            raise ProviderError(
                self._name, "connectivity", "the plugin stopped listening. Open a new stream."
            )
        except ProviderError as error:
            self._settle()
            self._mailbox.fail(error)
            await self._backstage.dismiss(self._stream.aclose())

    def _take(self, event: stt.SpeechEvent) -> None:
        kind, heard = event.type, event.alternatives[0] if event.alternatives else None
        if (
            kind in (stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)
            and heard
        ):
            if kind == stt.SpeechEventType.INTERIM_TRANSCRIPT:
                self._interim = heard.text
                self._mailbox.put(Partial(self._text()))
        elif kind == stt.SpeechEventType.FINAL_TRANSCRIPT and heard:
            self._interim = ""
            if heard.text.strip():
                self._said.append(heard)
                self._mailbox.put(Partial(self._text()))
            if self._owed:
                self._owed.popleft().cancel()
                self._end_turn()

    def _overdue(self) -> None:
        self._owed.popleft()
        self._end_turn()

    def _end_turn(self) -> None:
        text, said = self._text(), self._said
        sure = [heard.confidence for heard in said if heard.confidence > 0]
        self._said, self._interim = [], ""
        confidence = sum(sure) / len(sure) if sure else float(bool(text))
        self._mailbox.put(Final(text, min(1.0, confidence), ends_turn=True))

    def _text(self) -> str:
        return " ".join(
            part for part in [*[heard.text.strip() for heard in self._said], self._interim] if part
        )

    def _settle(self) -> None:
        while self._owed:
            self._owed.popleft().cancel()


class LivekitTurns:
    """One call's recogniser over a plugin that takes a whole recording: a request for each turn, in order."""

    def __init__(
        self, name: str, plugin: stt.STT[Any], backstage: Backstage, rate_hz: int, told: dict[str, str]
    ) -> None:
        self._name, self._plugin, self._backstage = name, plugin, backstage
        self._rate_hz, self._told = rate_hz, told
        self._preroll = Preroll()
        self._mailbox = SttMailbox()
        self._sound = bytearray()
        self._turns: asyncio.Queue[bytes] = asyncio.Queue()
        self._working = asyncio.get_running_loop().create_task(self._work(), name=f"hear {name}")

    def push(self, frame: Frame) -> None:
        if (pcm := self._preroll.push(frame)) is not None:
            self._sound += pcm

    def start_turn(self) -> None:
        if (before := self._preroll.start()) is not None:
            self._sound += before

    def end_turn(self) -> None:
        self._preroll.end()
        self._turns.put_nowait(bytes(self._sound))
        self._sound.clear()

    def expect(self, hints: Hints) -> None:
        """A plugin takes key terms when it is made: the next call has them."""

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        self._mailbox.close()
        if not self._working.done():
            self._working.cancel()
            await asyncio.wait([self._working])

    async def _work(self) -> None:
        try:
            while True:
                sound = await self._turns.get()
                self._mailbox.put(await self._recognised(sound) if sound else Final("", ends_turn=True))
        except ProviderError as error:
            self._mailbox.fail(error)

    async def _recognised(self, sound: bytes) -> Final:
        frame = rtc.AudioFrame(sound, self._rate_hz, 1, len(sound) // 2)
        with translated(self._name):
            request: Callable[..., Any] = self._plugin.recognize
            asking = self._backstage.begin(
                lambda: asyncio.ensure_future(request(frame, conn_options=OPTIONS, **self._told))
            )
            try:
                event = await asking
            finally:
                asking.cancel()
        heard = event.alternatives[0] if event.alternatives else None
        text = heard.text.strip() if heard is not None else ""
        sure = heard.confidence if heard is not None and heard.confidence > 0 else float(bool(text))
        return Final(text, min(1.0, sure), ends_turn=True)


def _terms(phrases: tuple[str, ...]) -> list[str]:
    """Short phrases without their slots: key terms are words to listen for, not sentences."""
    found = [" ".join(_SLOT.sub(" ", phrase).split()) for phrase in phrases]
    short = [term for term in found if term and len(term.split()) <= LONGEST_TERM_WORDS]
    return list(dict.fromkeys(short))[:MOST_TERMS]

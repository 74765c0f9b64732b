"""Voices that stand in for each other, as one Tts: a reply goes on in one stream when its voice dies.

What was begun is not said twice where the dead voice told when its words sound."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.errors import ProviderError
from pipeline.events import Event
from pipeline.ports import Metered, SpeechChunk, Tts, TtsStream, Voice, WordTiming
from pipeline.providers.resilient.attempt import END, Attempt, End
from pipeline.providers.resilient.member import Member
from pipeline.providers.resilient.policy import Routing
from pipeline.providers.resilient.team import Patience, Team, nobody
from pipeline.speaking.resample import Resampler

PATIENCE = Patience(beside_s=1.0, timeout_s=2.0, gap_s=2.0)
ROOM = 2  # chunks that may wait for the reader, who paces the voice
SILENCE = np.zeros(0, np.int16)
WORD_GRAIN_S = 0.02  # a word that lacks no more than this has been said


class FallbackTts:
    """The first of these voices that sounds in time. One a call; members are shared.

    members: in order of preference, or as `routing` says.
    rate_hz: the first one's; the sound of the others is brought to it.
    voices: the voice's name at each member, empty for its default; the first one's comes with each `open`.
    Iterating its streams raises ProviderError when none of them speaks.
    """

    def __init__(
        self,
        members: Sequence[Member[Tts] | Tts],
        *,
        emit: Callable[[Event], None] = nobody,
        patience: Patience = PATIENCE,
        routing: Routing | None = None,
        voices: Sequence[str] = (),
    ) -> None:
        self._team: Team[Tts] = Team("tts", members, patience, emit, routing)
        self._voices = voices
        self.name, self.providers = self._team.name, self._team.providers
        self.rate_hz = self._team.members[0].provider.rate_hz

    async def open(self, voice: Voice) -> FallbackTtsStream:
        """Opens nothing yet: the first piece does."""
        stand_ins = [replace(voice, name=name, options={}) for name in self._voices[1:]]
        default = replace(
            voice, name="", options={}
        )  # names and options of one vendor mean nothing to another
        by_member = dict(zip(self._team.members, [voice, *stand_ins], strict=False))
        return FallbackTtsStream(self._team, by_member, default, self.rate_hz)


@dataclass(slots=True)
class _Piece:
    """One `say()`, and what the reader has been given of it. samples: at the team's rate."""

    text: str
    samples: int = 0
    words: list[WordTiming] = field(default_factory=list)
    done: bool = False

    def took(self, chunk: SpeechChunk) -> None:
        self.samples += len(chunk.pcm)
        self.words += chunk.words
        self.done = self.done or chunk.last

    def rest(self, rate_hz: int) -> _Rest:
        """What is still to be said: from the word on that was cut short. All of it if no word's time is known."""
        said_s = self.samples / rate_hz
        end, cut = 0, False
        for word in self.words:
            if cut := word.end_s > said_s + WORD_GRAIN_S:
                break
            at = self.text.find(word.text, end)
            end = at + len(word.text) if at >= 0 else end
        rest = self.text[end:].lstrip()
        silent = self.samples > 0 and not any(map(str.isalnum, rest))
        return _Rest("" if silent else rest, said_s, cut)


@dataclass(frozen=True, slots=True)
class _Rest:
    """Text that a voice has to go on with, so long after the piece began. cut: its first word was begun before."""

    text: str
    after_s: float
    cut: bool


class FallbackTtsStream:
    """One reply being spoken, by one voice after the other if need be."""

    def __init__(
        self, team: Team[Tts], voices: Mapping[Member[Tts], Voice], default: Voice, rate_hz: int
    ) -> None:
        self._team, self._rate_hz = team, rate_hz
        self._voices, self._default = voices, default
        self._pieces: list[_Piece] = []
        self._finished = False
        self._speakers: list[_Speaker] = []  # all that were asked; those that are closed do not mind
        self._attempt: Attempt[Tts, SpeechChunk] | None = None
        self._waiting: asyncio.Timeout | None = None
        self._more = asyncio.Event()
        self._chunks: asyncio.Queue[SpeechChunk | ProviderError | End] = asyncio.Queue(ROOM)
        self._used: Counter[str] = Counter()  # characters, by voice, that nobody asked for yet
        self._task = asyncio.create_task(self._speak(), name=f"speak with {team.name}")

    def say(self, text: str) -> None:
        owed = self._owed()
        self._pieces.append(_Piece(text))
        if self._waiting is not None and owed is None:
            self._waiting.reschedule(self._deadline())
        self._tell()

    def finish(self) -> None:
        self._finished = True
        self._tell()

    def used(self) -> Mapping[str, float]:
        """Characters, by voice; of all that were asked. Its own figure, if it has one."""
        for speaker in self._speakers:
            speaker.count()
        used, self._used = self._used, Counter()
        return used

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        while not isinstance(chunk := await self._chunks.get(), End):
            if isinstance(chunk, ProviderError):
                self._end()  # whoever iterates again finds the end, not a wait
                raise chunk
            yield chunk
        self._end()

    async def aclose(self) -> None:
        self._task.cancel()
        self._drop_attempt()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._end()

    def _end(self) -> None:
        if not self._chunks.full():
            self._chunks.put_nowait(END)

    def _tell(self) -> None:
        self._more.set()
        for speaker in self._speakers:
            speaker.catch_up([piece.text for piece in self._pieces], finished=self._finished)

    def _count(self, voice: str, characters: int) -> None:
        self._used[voice] += characters

    def _owed(self) -> int | None:
        """The first piece that is not spoken to its end, None if there is none."""
        return next((number for number, piece in enumerate(self._pieces) if not piece.done), None)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._team.patience.gap_s

    # ------------------------------------------------------------ the task

    async def _speak(self) -> None:
        """Until every piece is spoken and no more will come, or nobody can."""
        try:
            while await self._something_to_say():
                await self._by_whoever_can()
        except ProviderError as error:
            await self._chunks.put(error)
        else:
            await self._chunks.put(END)
        finally:
            self._drop_attempt()

    async def _something_to_say(self) -> bool:
        while self._owed() is None:
            if self._finished:
                return False
            self._more.clear()
            await self._more.wait()
        return True

    async def _by_whoever_can(self) -> None:
        """One voice after the other, until nothing is owed or the present one has hung up in silence.

        Each is asked once: a voice that dies at every sentence must not stutter for ever."""
        order = self._team.order()
        last: ProviderError | None = None
        while self._owed() is not None:
            await self._close_what_was_said()
            if self._owed() is None:
                return
            race = await self._team.race(order, self._ask)
            if race.winner is None:
                raise self._team.all_failed(race.error or last)
            self._attempt = race.winner
            try:
                await self._forward(race.winner)
                return
            except ProviderError as error:
                race.winner.member.failed(error)
                last = error
            finally:
                self._drop_attempt()

    async def _close_what_was_said(self) -> None:
        """A voice that died behind the last word of a piece owed nothing but its end."""
        number = self._owed()
        if number is not None and not self._pieces[number].rest(self._rate_hz).text:
            await self._deliver(SpeechChunk(SILENCE, number, last=True))

    def _ask(self, member: Member[Tts]) -> Attempt[Tts, SpeechChunk]:
        first = self._owed() or 0
        speaker = _Speaker(
            member,
            self._voices.get(member, self._default),
            first=first,
            rest=self._pieces[first].rest(self._rate_hz),
            rate_hz=self._rate_hz,
            said=self._count,
        )
        self._speakers.append(speaker)
        speaker.catch_up([piece.text for piece in self._pieces], finished=self._finished)
        return Attempt(member, speaker.speak(), _counts)

    async def _forward(self, attempt: Attempt[Tts, SpeechChunk]) -> None:
        """What it says, to the reader. Raises ProviderError if it fails, stops, or ends before the text does."""
        while not isinstance(chunk := await self._next(attempt), End):
            await self._deliver(chunk)
        number = self._owed()
        if number is not None and (self._pieces[number].samples or not attempt.delivered):
            fact = "the stream ended before the sentence did. Another voice goes on."
            raise ProviderError(attempt.member.name, "server", fact)

    async def _next(self, attempt: Attempt[Tts, SpeechChunk]) -> SpeechChunk | End:
        try:
            owed = self._owed() is not None
            async with asyncio.timeout_at(self._deadline() if owed else None) as self._waiting:
                return await attempt.next()
        except TimeoutError:
            raise self._team.too_slow(attempt.member, self._team.patience.gap_s) from None
        finally:
            self._waiting = None

    async def _deliver(self, chunk: SpeechChunk) -> None:
        self._pieces[chunk.piece].took(chunk)
        await self._chunks.put(chunk)

    def _drop_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.close()
        self._speakers.clear()


class _Speaker:
    """One voice for the pieces from `first` on, of which it says only `rest`. said(voice, characters): it was given."""

    def __init__(
        self,
        member: Member[Tts],
        voice: Voice,
        *,
        first: int,
        rest: _Rest,
        rate_hz: int,
        said: Callable[[str, int], None],
    ) -> None:
        self._tts, self._voice = member.provider, voice
        self._name, self._said = member.name, said
        self._first, self._rest = first, rest
        self._told_word = rest.cut
        self._resampler = Resampler(member.provider.rate_hz, rate_hz)
        self._stream: TtsStream | None = None
        self._texts: Sequence[str] = ()
        self._finished = False
        self._told, self._told_end = first, False

    def catch_up(self, texts: Sequence[str], *, finished: bool) -> None:
        """All that is to be said so far."""
        self._texts, self._finished = texts, finished
        if self._stream is None or self._told_end:
            return
        for number in range(self._told, len(texts)):
            text = self._rest.text if number == self._first else texts[number]
            self._stream.say(text)
            if not isinstance(self._stream, Metered):
                self._said(self._name, len(text))
        self._told = len(texts)
        if finished:
            self._told_end = True
            self._stream.finish()

    async def speak(self) -> AsyncGenerator[SpeechChunk, None]:
        """Its sound, as chunks of the whole reply."""
        stream = self._stream = await self._tts.open(self._voice)
        try:
            self.catch_up(self._texts, finished=self._finished)
            async for chunk in stream:
                yield self._placed(chunk)
        finally:
            self.count()
            self._stream = None
            await stream.aclose()

    def count(self) -> None:
        """Tell what its stream knows better than we do."""
        if isinstance(self._stream, Metered):
            self._said(self._name, round(sum(self._stream.used().values())))

    def _placed(self, chunk: SpeechChunk) -> SpeechChunk:
        pcm = self._resampler.feed(chunk.pcm)
        if chunk.last and len(rest := self._resampler.finish()):
            pcm = np.concatenate([pcm, rest])
        words = chunk.words
        if words and self._told_word:  # the listener knows this word from the voice that was cut off in it
            words, self._told_word = words[1:], False
        if chunk.piece == 0 and (by := self._rest.after_s):
            words = tuple(WordTiming(word.text, word.start_s + by, word.end_s + by) for word in words)
        return SpeechChunk(pcm, self._first + chunk.piece, words, chunk.last)


async def probe_tts(tts: Tts) -> None:
    """A word, and not even all of its sound. Raises ProviderError if there is none."""
    stream = await tts.open(Voice())
    try:
        stream.say("Yes.")
        stream.finish()
        async for chunk in stream:
            if len(chunk.pcm):
                return
        raise ProviderError(tts.name, "server", "the voice made no sound. See its status.")
    finally:
        await stream.aclose()


def _counts(chunk: SpeechChunk) -> bool:
    return chunk.last or len(chunk.pcm) > 0

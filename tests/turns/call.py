"""One scene, played to the real conversation engine on a virtual clock.

Real: Session, floor, endpointing, voice activity with Silero, echo guard, playout. Not real: the recogniser knows the
words and tells each one a quarter of a second after its true end; model and voice are fakes, the voice plays a track.
So ends of turns, pauses, resumptions and interruptions are the engine's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.events import Event
from pipeline.hearing.expectation import Expectation
from pipeline.options import Silence, ThinkingSound, TurnHandling
from pipeline.ports import Final, Frame, Hints, Partial, SpeechChunk, SttEvent, TransferResult, Vad, Voice
from pipeline.providers.fake import FakeLlm
from pipeline.providers.silero import silero_vad
from pipeline.session import Services, Session
from pipeline.speaking.resample import Resampler
from pipeline.testing.virtual_clock import run
from telephony.media.playout import Playout
from tests.turns.line import Wire
from tests.turns.scenes import Scene
from tests.turns.sounds import RATE_HZ, Sound

TICK_S = 0.02
CHAR_S = 0.06  # of the track for each character of the agent's text
ANSWER_AFTER_S = 0.4  # model and voice together, when the agent was interrupted
NEVER_S = 600.0  # where the caller's turn is judged, no answer may disturb the rest of it
PATTER = "Let me tell you what I have found out about this. "
AUDIBLE = 100.0  # RMS


@dataclass(frozen=True, slots=True)
class Ears:
    """How the recogniser is. lag_s: from a word's end to the partial that has it. wer: share of words it gets wrong,
    half of them lost, half replaced."""

    lag_s: float = 0.25
    wer: float = 0.05


@dataclass(slots=True)
class Played:
    """What happened. audible: for each tick, did the agent sound on the line? ticks are 20 ms."""

    events: list[Event] = field(default_factory=list)
    audible: list[bool] = field(default_factory=list)


def play(
    scene: Scene,
    options: TurnHandling,
    ears: Ears | None = None,
    rate_hz: int = RATE_HZ,
    vad: Vad | None = None,
) -> Played:
    """Play a scene to its end. rate_hz: of the call; above 8000 Hz the line's sound is converted."""

    async def call() -> Played:
        return await _Call(scene, options, ears or Ears(), rate_hz, vad).run()

    return run(call)


class _Call:
    """The media clock, the caller and the call's control in one."""

    def __init__(
        self, scene: Scene, options: TurnHandling, ears: Ears, rate_hz: int, vad: Vad | None
    ) -> None:
        dice = np.random.default_rng(scene.spec.seed + 1)
        talks = len(scene.agent) > 0
        seconds = scene.ticks * TICK_S
        patter = PATTER * (round(seconds / CHAR_S / len(PATTER)) + 2) if talks else ""
        self._scene, self._wire = scene, Wire(scene.sound, scene.spec.line, scene.spec.echo, dice)
        self._out = Playout(rate_hz)
        self._up = Resampler(RATE_HZ, rate_hz) if rate_hz != RATE_HZ else None
        self._raised: Frame = np.zeros(0, np.int16)
        self.played = Played()
        words = [(heard, end) for word, end in scene.words if (heard := _misheard(word, ears.wer, dice))]
        words = words or scene.words[-1:]  # a turn of which nothing is heard is no question of when it ends
        self._session = Session(
            Agent(name="agent", greeting=patter, fillers=()),
            Services(
                vad or silero_vad(rate_hz),
                KnownWords(words, ears.lag_s),
                FakeLlm("I see.", delay_s=ANSWER_AFTER_S if talks else NEVER_S),
                Track(scene.agent, rate_hz),
            ),
            self._out,
            self,
            emit=self.played.events.append,
            options=options,
            silence=Silence(after_s=0.0),
        )
        if scene.asked:
            self._session.expect(Expectation.parse(scene.asked))

    async def run(self) -> Played:
        session, loop = self._session, asyncio.get_running_loop()
        await session.prepare()
        talking = asyncio.create_task(session.run())
        for tick in range(self._scene.ticks):
            now = (tick + 1) * TICK_S
            await asyncio.sleep(max(0.0, now - loop.time()))
            frame = self._heard(self._wire.frame(tick))
            session.hear(frame, loop.time())
            sent = session.speak(loop.time())
            self._wire.send(sent if self._up is None else None)
            self.played.audible.append(sent is not None and _rms(sent) > AUDIBLE)
        session.close("scene_over")
        await talking
        return self.played

    def _heard(self, frame: Frame) -> Frame:
        if self._up is None:
            return frame
        size = self._out.rate_hz // 50
        self._raised = np.concatenate((self._raised, self._up.feed(frame)))
        if len(self._raised) < size:
            return np.zeros(size, np.int16)
        frame, self._raised = self._raised[:size], self._raised[size:]
        return frame

    # ------------------------------------------------------------ CallControl

    def hang_up(self, reason: str) -> None:
        self._session.close(reason)

    async def transfer(self, target: str) -> TransferResult:
        return TransferResult(False, 501)

    async def consult(self, target: str, ring_s: float) -> TransferResult:
        return TransferResult(False, 501)

    def start_message(self) -> str:
        return ""

    def end_message(self) -> float:
        return 0.0

    def send_digits(self, digits: str) -> None:
        """Nobody is there to hear them."""

    async def hold(self) -> bool:
        return False

    async def resume(self) -> bool:
        return True

    def think(self, sound: ThinkingSound | None) -> None:
        pass

    def pause_recording(self) -> bool:
        return False

    def resume_recording(self) -> bool:
        return False


class KnownWords:
    """A streaming recogniser that knows what is said: (word, end of it in s of the call)."""

    name = "known words"

    def __init__(self, words: list[tuple[str, float]], lag_s: float) -> None:
        self._words, self._lag_s = words, lag_s

    async def open(self, *, rate_hz: int, hints: Hints) -> KnownStream:
        return KnownStream(self._words, self._lag_s)


class KnownStream:
    """One call's."""

    def __init__(self, words: list[tuple[str, float]], lag_s: float) -> None:
        self._events: asyncio.Queue[SttEvent | None] = asyncio.Queue()
        self._waiting = list(words)
        self._lag_s = lag_s
        self._text: list[str] = []
        self._loop = asyncio.get_running_loop()
        for _, end in words:
            self._loop.call_at(end + lag_s, self._word)

    def push(self, frame: Frame) -> None:
        """The words are known."""

    def start_turn(self) -> None:
        """It listens all the time."""

    def end_turn(self) -> None:
        said = [(word, end) for word, end in self._waiting if end <= self._loop.time()]
        due = max([self._loop.time(), *(end + self._lag_s for _, end in said)])
        self._loop.call_at(due, self._final)

    def expect(self, hints: Hints) -> None:
        """Whatever is expected, it is what they say."""

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(None)

    def _word(self) -> None:
        if self._waiting and self._waiting[0][1] + self._lag_s <= self._loop.time() + 1e-6:
            self._text.append(self._waiting.pop(0)[0])
            self._events.put_nowait(Partial(" ".join(self._text)))

    def _final(self) -> None:
        while self._waiting and self._waiting[0][1] + self._lag_s <= self._loop.time() + 1e-6:
            self._text.append(self._waiting.pop(0)[0])
        text, self._text = " ".join(self._text), []
        self._events.put_nowait(Final(text, ends_turn=True))


class Track:
    """A voice that says everything as the next piece of one long recording."""

    name = "track"

    def __init__(self, track: Sound, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        repeated = np.repeat(track, rate_hz // RATE_HZ) if len(track) else np.zeros(rate_hz, np.float32)
        self._track = np.clip(repeated, -32768, 32767).astype(np.int16)
        self._at = 0

    async def open(self, voice: Voice) -> TrackStream:
        return TrackStream(self.take)

    def take(self, seconds: float) -> Frame:
        """The next piece, round and round."""
        size = round(seconds * self.rate_hz)
        piece = np.resize(np.roll(self._track, -self._at), size)
        self._at = (self._at + size) % len(self._track)
        return piece


class TrackStream:
    """One reply."""

    def __init__(self, take: Callable[[float], Frame]) -> None:
        self._take = take
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        self._pieces = 0

    def say(self, text: str) -> None:
        self._texts.put_nowait(text)

    def finish(self) -> None:
        self._texts.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        while (text := await self._texts.get()) is not None:
            yield SpeechChunk(self._take(len(text) * CHAR_S), self._pieces, last=True)
            self._pieces += 1

    async def aclose(self) -> None:
        self._texts.put_nowait(None)


def _misheard(word: str, wer: float, dice: np.random.Generator) -> str:
    wrong, lost = dice.random(2)
    if wrong >= wer:
        return word
    return "" if lost < 0.5 else "other"


def _rms(frame: Frame) -> float:
    samples = frame.astype(np.float32)
    return float(np.sqrt(samples @ samples / len(samples)))

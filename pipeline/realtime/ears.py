"""The speech-to-speech model as a call's recogniser: it is given the caller's turns, and tells their words.

Our own turn-taking decides what is a turn. Silence is not sent, unless the server wants to hear everything; the model
may begin to answer a turn while its words are still being written down. What is not written down yet is kept, and sent
again on a new connection."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from pipeline.errors import ProviderError
from pipeline.ports import FRAME_MS, Final, Frame, Hints, Partial, SttEvent
from pipeline.realtime.call import RealtimeCall
from pipeline.realtime.model import UNWRITTEN, Words
from pipeline.realtime.pipe import Pipe

BEFORE = 600 // FRAME_MS  # frames sent from before a turn was noticed, which takes about 300 ms
LEAST = 120 // FRAME_MS  # a turn shorter than 100 ms is refused (OpenAI: input_audio_buffer_commit_empty)


class RealtimeStt:
    """For all agents of one call."""

    def __init__(self, call: RealtimeCall) -> None:
        self.name = call.model.name
        self.call = call

    async def open(self, *, rate_hz: int, hints: Hints) -> RealtimeEars:
        call = self.call
        ears = call.setting.ears = RealtimeEars(call, hints)
        call.hold()
        try:
            await call.ready()
        except BaseException:
            await ears.aclose()
            raise
        return ears


@dataclass(slots=True, eq=False)
class _Turn:
    """Something the caller said. items: what it is at the server, with their words once they are known; open: there is
    one more, whose name is not known."""

    frames: list[Frame]
    items: dict[str, str | None] = field(default_factory=dict)
    open: bool = False

    @property
    def text(self) -> str | None:
        """All its words, None while some are missing."""
        known = [text for text in self.items.values() if text is not None]
        return None if self.open or len(known) < len(self.items) else " ".join(filter(None, known))


class RealtimeEars:
    """An SttStream."""

    def __init__(self, call: RealtimeCall, hints: Hints) -> None:
        self.hints = hints
        self._call = call
        self._always = call.model.hears_always
        self._before: deque[Frame] = deque(maxlen=BEFORE)
        self._now: list[Frame] | None = None  # the turn that is being said
        self._turns: list[_Turn] = []  # that are owed
        self._early: dict[str, str | None] = {}  # items that the server ended by itself, before our turn did
        self._parts: dict[str, str] = {}  # item → its words so far
        self._events: Pipe[SttEvent] = Pipe()
        self._sent = 0  # frames
        self._closed = False

    # ------------------------------------------------------------ for listening.py

    def push(self, frame: Frame) -> None:
        if self._now is not None:
            self._now.append(frame)
        else:
            self._before.append(frame)
        if self._always or self._now is not None:
            self._send(frame)

    def start_turn(self) -> None:
        self._call.discard_ahead()
        if self._now is not None:
            return
        self._now = list(self._before)
        self._before.clear()
        if not self._always:
            for frame in self._now:
                self._send(frame)

    def end_turn(self) -> None:
        frames, self._now = self._now or [], None
        early, self._early = self._early, {}
        turn = _Turn(frames, early, open=not early and len(frames) >= LEAST)
        self._turns.append(turn)
        if turn.open:
            self._call.commit(think=not self._always)
        self._deliver()

    def expect(self, hints: Hints) -> None:
        self.hints = hints

    def used(self) -> dict[str, float]:
        """Sound that was sent, in s."""
        sent, self._sent = self._sent, 0
        return {self._call.model.name: sent * FRAME_MS / 1000}

    async def __aiter__(self) -> AsyncIterator[SttEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._events.end(None)
        if self._call.setting.ears is self:
            self._call.setting.ears = None
        await self._call.release()

    def _send(self, frame: Frame) -> None:
        self._call.append(frame)
        self._sent += 1

    # ------------------------------------------------------------ for call.py

    def committed(self, item: str) -> None:
        turn = self._open()
        if turn is not None:
            turn.items[item], turn.open = None, False
        else:
            self._early[item] = None

    def words(self, event: Words) -> None:
        self._parts[event.item] = so_far = self._parts.get(event.item, "") + event.text
        text = UNWRITTEN if event.failed else (event.text if event.last else so_far).strip()
        if event.last:
            del self._parts[event.item]
        known = next((turn.items for turn in self._turns if event.item in turn.items), self._early)
        if event.item not in known:
            return
        known[event.item] = text if event.last else None
        if known is self._early or not event.last:
            said = " ".join([*filter(None, known.values()), *([] if event.last else [text])])
            if said:
                self._events.put(Partial(said))
        if event.last and not text:
            self._call.discard_ahead()
        self._deliver()

    def refused(self) -> None:
        turn = self._open()
        if turn is not None:
            turn.open = False
            self._call.discard_ahead()
            self._deliver()

    def renewed(self) -> None:
        self._early.clear()
        for turn in self._turns:
            if turn.text is None:
                turn.items, turn.open = {}, True
                self._again(turn.frames)
                self._call.commit(think=turn is self._turns[-1] and self._now is None)
        if self._now is not None:
            self._again(self._now)

    def failed(self, error: ProviderError) -> None:
        self._events.end(error)

    def _again(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._send(frame)

    def _open(self) -> _Turn | None:
        return next((turn for turn in self._turns if turn.open), None)

    def _deliver(self) -> None:
        """Turns in order, each once it is known."""
        while self._turns and (text := self._turns[0].text) is not None:
            self._turns.pop(0)
            self._events.put(Final(text, ends_turn=True))

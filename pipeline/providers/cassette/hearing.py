"""A recogniser that answers from a call's tape: what was understood of the same stretch of the caller's sound.

Which stretch that is, the deck's position says, so that an utterance may come at another time than on the recorded
call. Turns may begin and end elsewhere too: words of two recorded turns are joined, a turn that ends earlier gets the
words that were known by then."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from pipeline.hearing.mailbox import SttMailbox
from pipeline.ports import FRAME_MS, Final, Frame, Hints, Partial, Stt, SttEvent
from pipeline.providers.cassette import keys
from pipeline.providers.cassette.tape import Row, Tape

BEFORE_S = 0.5  # a turn is noticed up to so much later than another time
CUT_S = 0.3  # a turn that ends so much earlier than on tape was cut
KEPT_FRAMES = 25 * 60  # of a turn's sound, for a recogniser that is asked


class Player(Protocol):
    """What this needs of the deck (playing.py)."""

    tape: Tape
    position: Callable[[], int]
    played: Counter[str]

    def miss(self, kind: str, provider: str, changed: Sequence[str]) -> None:
        """A request is not on tape."""


class PlayingStt:
    """See the module. make: the recogniser itself, None if it may not be asked."""

    def __init__(self, deck: Player, identity: str, name: str, make: Callable[[], Stt] | None) -> None:
        self.name, self.providers = name, ()
        self._deck, self._make = deck, make
        known = keys.identity_key(identity)
        self._rows = sorted(
            (row for row in deck.tape.heard if row["identity"] == known), key=lambda row: int(row["from"])
        )

    async def open(self, *, rate_hz: int, hints: Hints) -> PlayingSttStream:
        return PlayingSttStream(self._deck, self.name, self._rows, rate_hz, hints, self._make)


class PlayingSttStream:
    """One call's recogniser."""

    def __init__(
        self,
        deck: Player,
        name: str,
        rows: Sequence[Row],
        rate_hz: int,
        hints: Hints,
        make: Callable[[], Stt] | None,
    ) -> None:
        self._deck, self._name, self._rate_hz, self._hints, self._make = deck, name, rate_hz, hints, make
        self._loop = asyncio.get_running_loop()
        self._mailbox = SttMailbox()
        self._rows = [_Stretch(row) for row in rows]
        self._sound: deque[Frame] = deque(maxlen=KEPT_FRAMES)
        self._from: int | None = None  # of the turn that is going on, in samples of the recorded call
        self._at = -1
        self._ended = 0  # the turn before, there
        self._pushed = 0
        self._asking: set[asyncio.Task[None]] = set()

    def push(self, frame: Frame) -> None:
        self._pushed += 1
        position = self._deck.position()
        if position >= 0:
            self._at = position
        if self._make is not None:
            self._sound.append(frame)
        if position >= 0:
            self._tell()

    def start_turn(self) -> None:
        if self._from is None:
            self._from = max(0, self._at - round(BEFORE_S * self._rate_hz))
            self._tell()

    def end_turn(self) -> None:
        since, self._from = self._from, None
        before, self._ended = self._ended, self._at
        rows = [row for row in self._rows if since is not None and row.left and row.overlaps(since, self._at)]
        if not rows:
            self._unheard(None if since is None else max(since, before))  # whose words are not this turn's
            return
        self._deck.played["stt"] += 1
        cut = round(CUT_S * self._rate_hz)
        words = [row.words(self._at, cut) for row in rows]
        texts = [final.text for final in words if final.text]
        final = Final(
            " ".join(texts),
            min(one.confidence for one in words),
            all(one.understood for one in words if one.text or len(words) == 1),
            ends_turn=True,
        )
        self._loop.call_later(rows[-1].wait_s, self._mailbox.put, final)

    def expect(self, hints: Hints) -> None:
        self._hints = hints

    def used(self) -> Mapping[str, float]:
        """What the recogniser would have been given."""
        pushed, self._pushed = self._pushed, 0
        return {self._name: pushed * FRAME_MS / 1000}

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        for task in self._asking:
            task.cancel()
        self._mailbox.close()

    def _tell(self) -> None:
        """What was guessed by the end of the newest frame."""
        if self._from is None:
            return
        until = self._at + self._rate_hz * FRAME_MS // 1000
        for row in self._rows:
            if row.begins <= self._at and row.until >= self._from:
                for partial in row.partials(until):
                    self._mailbox.put(partial)

    def _unheard(self, since: int | None) -> None:
        """Nothing on tape for this stretch: it is silence, unless there was a turn."""
        if since is None:
            self._mailbox.put(Final("", 0.0, ends_turn=True))
            return
        self._deck.miss("stt", self._name, ["sound"])
        if self._make is None:
            self._mailbox.put(Final("", 0.0, ends_turn=True))
            return
        frames = max(1, (self._at - since) // (self._rate_hz * FRAME_MS // 1000))
        task = self._loop.create_task(
            self._ask(self._make(), list(self._sound)[-frames:]), name="ask recogniser"
        )
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, stt: Stt, frames: Sequence[Frame]) -> None:
        """Tell the recogniser itself what was said in this turn."""
        stream = await stt.open(rate_hz=self._rate_hz, hints=self._hints)
        try:
            stream.start_turn()
            for frame in frames:
                stream.push(frame)
            stream.end_turn()
            async for event in stream:
                self._mailbox.put(event)
                if isinstance(event, Final) and event.ends_turn:
                    return
        finally:
            await stream.aclose()


class _Stretch:
    """One turn on tape, and what of it has been told."""

    def __init__(self, row: Row) -> None:
        self.begins, self.until = int(row["from"]), int(row["to"])
        self.left = True
        self._heard: list[Row] = row["heard"]
        self._told = 0
        self._given = ""

    @property
    def wait_s(self) -> float:
        """From the end of the turn to its last word."""
        return float(self._heard[-1].get("after", 0.0)) if self._heard else 0.0

    def overlaps(self, since: int, until: int) -> bool:
        return self.begins <= until and self.until >= since

    def partials(self, at: int) -> list[Partial]:
        """What was guessed by this place and has not been told yet."""
        found: list[Partial] = []
        while self._told < len(self._heard):
            row = self._heard[self._told]
            if row.get("final") or row["at"] > at:
                break
            self._told += 1
            found.append(Partial(row["text"], row.get("complete")))
        return found

    def words(self, at: int, cut: int) -> Final:
        """What the turn comes to if it ends here. cut: samples that make it an earlier end than on tape."""
        finals = [row for row in self._heard if row.get("final")]
        text = " ".join(row["text"] for row in finals if row["text"])
        confidence = min((float(row["confidence"]) for row in finals), default=0.0)
        understood = bool(finals) and all(
            bool(row["understood"]) for row in finals if row["text"] or len(finals) == 1
        )
        guesses = [row["text"] for row in self._heard if not row.get("final") and row["at"] <= at]
        if self.until - at > cut and guesses and guesses[-1] != text:
            self._given = guesses[-1]
            return Final(self._given, confidence, understood, ends_turn=True)
        self.left = False
        return Final(text.removeprefix(self._given).strip(), confidence, understood, ends_turn=True)

"""What the caller has heard: what the model wrote, matched to audio that really left for the phone.

Pure: no sockets, clock or tasks. Driven by pipeline/replying.py. Not a transcript (agent/history.py). It answers in the
model's own words ("$5.20"), not in those of the voice ("five dollars and twenty cents")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.ports import WordTiming
from pipeline.speaking.pace import Pace, length, reached
from pipeline.speaking.traced import Spoken, verbatim

WINDOW = 60  # characters within which the next timed word must be found, else the voice has read another one


@dataclass(slots=True)
class _Piece:
    spoken: Spoken
    before: str  # written in front of it and not spoken
    after: str = ""  # and behind it, at the end of a message
    begins: int | None = None  # position of its first sample, once there is one
    samples: int = 0
    complete: bool = False
    words: list[WordTiming] = field(default_factory=list)

    @property
    def written(self) -> str:
        return self.before + self.spoken.written + self.after


class Ledger:
    """The pieces of one reply in order, and where each lies in the call's speech."""

    def __init__(self, rate_hz: int, pace: Pace) -> None:
        self.rate_hz = rate_hz
        self._pace = pace
        self._pieces: list[_Piece] = []
        self._silent = ""  # written since the last piece, with nothing to say
        self._message = 0  # the first piece of the present message

    # ------------------------------------------------------------ what is said

    def said(self, spoken: Spoken) -> None:
        """A piece was handed to the voice."""
        self._pieces.append(_Piece(spoken, self._silent))
        self._silent = ""

    def grow(self, written: str) -> None:
        """The newest piece goes on: a model that speaks itself tells its words as it says them."""
        piece = self._pieces[-1]
        piece.spoken = verbatim(piece.spoken.written + written)

    def silent(self, written: str) -> None:
        """A piece has nothing to say: a rule, an emoji, an empty line."""
        self._silent += written

    def end_message(self) -> None:
        """What follows is another message; a reply with tools has several."""
        if len(self._pieces) > self._message:
            self._pieces[-1].after += self._silent
        self._silent, self._message = " ", len(self._pieces)

    def placed(
        self, piece: int, position: int, samples: int, words: tuple[WordTiming, ...], *, last: bool
    ) -> None:
        """Audio of a piece was queued. position: AudioOut position of its first sample."""
        entry = self._pieces[piece]
        if entry.begins is None:
            entry.begins = position
        entry.samples += samples
        entry.words.extend(words)
        if last and not entry.complete:
            entry.complete = True
            self._pace.learn(entry.spoken.text, entry.samples / self.rate_hz)

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def placed_all(self) -> bool:
        """Has every piece so far become sound, to its last sample?"""
        return all(piece.complete for piece in self._pieces)

    @property
    def begins(self) -> int | None:
        """Position of the reply's first sample, None before there is one."""
        return self._pieces[0].begins if self._pieces else None

    # ------------------------------------------------------------ what was heard

    def text(self, first: int = 0, end: int | None = None) -> str:
        """What was planned, of the pieces first to end, as the model wrote it."""
        return "".join(piece.written for piece in self._pieces[first:end]).strip()

    def heard(self, position: int, first: int = 0, end: int | None = None) -> str:
        """The part of `text(first, end)` that was heard when speech stopped at `position`: its beginning, up to the
        last word that had begun to sound. A later position never gives less."""
        parts: list[str] = []
        for piece in self._pieces[first:end]:
            heard = self._heard_of(piece, position)
            if heard < len(piece.spoken.written):
                parts.append(piece.before + piece.spoken.written[:heard] if heard else "")
                break
            parts.append(piece.written)
        return "".join(parts).strip()

    def rest(self, position: int) -> str:
        """What is left to say when speech stopped at `position`, as the model wrote it; a sentence that was cut is said
        again from its beginning."""
        for number, piece in enumerate(self._pieces):
            if self._heard_of(piece, position) < len(piece.spoken.written):
                return self.text(number)
        return ""

    # ------------------------------------------------------------ for another process

    def dump(self) -> dict[str, Any]:
        """Plain values."""
        return {"pieces": [_dumped(piece) for piece in self._pieces]}

    @classmethod
    def load(cls, row: dict[str, Any], rate_hz: int, pace: Pace) -> Ledger:
        """What `dump` gave."""
        ledger = cls(rate_hz, pace)
        ledger._pieces = [_loaded(piece) for piece in row["pieces"]]
        return ledger

    def word_at(self, position: int) -> int:
        """The position at which the word began that sounded at `position`, or that was to sound next."""
        for piece in self._pieces:
            if piece.begins is None or not piece.begins <= position < piece.begins + piece.samples:
                continue
            played = position - piece.begins
            starts = [round(word.start_s * self.rate_hz) for word in piece.words] or self._starts(piece)
            return piece.begins + max((start for start in starts if start <= played), default=0)
        return position

    def _starts(self, piece: _Piece) -> list[int]:
        """Without word times: where its words begin if every letter takes as long."""
        text = piece.spoken.text
        per_letter = self.rate_hz / self._pace.per_s
        if piece.complete and (whole := length(text)):
            per_letter = piece.samples / whole
        places = [0, *(at + 1 for at, character in enumerate(text) if character == " ")]
        return [round(length(text[:place]) * per_letter) for place in places]

    def _heard_of(self, piece: _Piece, position: int) -> int:
        """How many of its written characters."""
        if piece.begins is None or position <= piece.begins:
            return 0
        played = position - piece.begins
        if piece.complete and played >= piece.samples:
            return len(piece.spoken.written)
        if piece.words:
            return piece.spoken.written_until(self._by_words(piece, played))
        return self._by_pace(piece, played)

    def _by_words(self, piece: _Piece, played: int) -> int:
        """Where in the spoken text the last word that began to sound ends. Words are found in order."""
        end = 0
        for word in piece.words:
            if word.start_s * self.rate_hz >= played:
                break
            at = piece.spoken.text.find(word.text, end, end + WINDOW + len(word.text))
            end = at + len(word.text) if at >= 0 else end
        return end

    def _by_pace(self, piece: _Piece, played: int) -> int:
        """Without word times: in proportion to the samples, else by the pace of the voice; whole words only."""
        text = piece.spoken.text
        if piece.complete and piece.samples:
            spoken = length(text) * played / piece.samples
        else:
            spoken = played / self.rate_hz * self._pace.per_s
        position = reached(text, spoken)
        if position >= len(text):
            return len(piece.spoken.written)
        return piece.spoken.written_until(piece.spoken.word_before(position))


def _dumped(piece: _Piece) -> dict[str, Any]:
    spoken = piece.spoken
    row: dict[str, Any] = {
        "written": spoken.written,
        "before": piece.before,
        "after": piece.after,
        "begins": piece.begins,
        "samples": piece.samples,
        "complete": piece.complete,
        "words": [[word.text, word.start_s, word.end_s] for word in piece.words],
    }
    if spoken.text != spoken.written:
        row |= {"text": spoken.text, "origins": list(spoken.origins)}
    return row


def _loaded(row: dict[str, Any]) -> _Piece:
    written = row["written"]
    spoken = Spoken(written, row.get("text", written), row.get("origins", range(len(written))))
    words = [WordTiming(*word) for word in row["words"]]
    return _Piece(spoken, row["before"], row["after"], row["begins"], row["samples"], row["complete"], words)

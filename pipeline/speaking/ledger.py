"""What the caller has heard: reply text matched to audio that really left for the phone.

Pure: no sockets, clock or tasks. Driven by pipeline/replying.py. Not a transcript (agent/history.py)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.ports import WordTiming

CHARS_PER_S = (
    14.0  # speaking rate for a piece whose length is not known yet; corrected by the pieces before it
)


@dataclass(slots=True)
class _Piece:
    text: str
    begins: int | None = None  # position of its first sample, once there is one
    samples: int = 0
    complete: bool = False
    words: list[WordTiming] = field(default_factory=list)


class Ledger:
    """The pieces of one reply in order, and where each lies in the call's speech."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._pieces: list[_Piece] = []

    def said(self, text: str) -> None:
        """A piece was handed to the voice."""
        self._pieces.append(_Piece(text))

    def placed(
        self, piece: int, position: int, samples: int, words: tuple[WordTiming, ...], *, last: bool
    ) -> None:
        """Audio of a piece was queued. position: AudioOut position of its first sample."""
        entry = self._pieces[piece]
        if entry.begins is None:
            entry.begins = position
        entry.samples += samples
        entry.words.extend(words)
        entry.complete = entry.complete or last

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

    def text(self, first: int = 0, end: int | None = None) -> str:
        """What was planned, of the pieces first to end."""
        return " ".join(piece.text for piece in self._pieces[first:end])

    def heard(self, position: int, first: int = 0, end: int | None = None) -> str:
        """The text up to the last word that had begun to sound when speech stopped at `position`."""
        parts = (self._heard_of(piece, position) for piece in self._pieces[first:end])
        return " ".join(part for part in parts if part)

    def word_at(self, position: int) -> int:
        """The position at which the word began that sounded at `position`; a word that is over is not begun again."""
        for piece in self._pieces:
            if piece.begins is None or not piece.begins <= position < piece.begins + piece.samples:
                continue
            played = position - piece.begins
            starts = [round(word.start_s * self.rate_hz) for word in piece.words]
            if not starts:
                starts = self._starts_by_rate(piece)
            return piece.begins + max((start for start in starts if start <= played), default=0)
        return position

    def _starts_by_rate(self, piece: _Piece) -> list[int]:
        """Where the words begin if all letters take as long."""
        per_char = piece.samples / len(piece.text) if piece.complete and piece.text else self.rate_hz / CHARS_PER_S
        places = [0, *(at + 1 for at, char in enumerate(piece.text) if char == " ")]
        return [round(place * per_char) for place in places]

    def _heard_of(self, piece: _Piece, position: int) -> str:
        if piece.begins is None or position <= piece.begins:
            return ""
        played = position - piece.begins
        if piece.complete and played >= piece.samples:
            return piece.text
        if piece.words:
            return self._by_words(piece, played)
        return self._by_rate(piece, played)

    def _by_words(self, piece: _Piece, played: int) -> str:
        """Cut behind the last word that began to sound, found in the text in order."""
        end = 0
        for word in piece.words:
            if word.start_s * self.rate_hz >= played:
                break
            at = piece.text.find(word.text, end)
            end = at + len(word.text) if at >= 0 else end
        return piece.text[:end].rstrip()

    def _by_rate(self, piece: _Piece, played: int) -> str:
        """Without word times: in proportion to the samples, cut at the end of a word."""
        if piece.complete and piece.samples:
            chars = round(len(piece.text) * played / piece.samples)
        else:
            chars = round(played / self.rate_hz * CHARS_PER_S)
        if chars >= len(piece.text):
            return piece.text
        cut = piece.text.rfind(" ", 0, chars + 1)
        return piece.text[:cut] if cut > 0 else ""

"""When each word of a piece sounds, from the times of its characters as they come with the sound.

Pure; one `Aligner` a piece, fed by tts.py. The vendor sends two alignments: of the text that it got, and of the text
that it read out (normalised). Each may stop in the middle of a word, be missing in some messages, or begin again from
the front of the piece; times count from the message's own sound. The ledger looks words up in the text that we sent,
so the alignment that continues that text is believed, and no word is told twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.ports import WordTiming


@dataclass(frozen=True, slots=True)
class Character:
    """One character of an alignment. Times in s from the message's first sample."""

    text: str
    start_s: float
    end_s: float


class Aligner:
    """text: the piece as it was sent."""

    def __init__(self, text: str) -> None:
        self._letters = _letters(text)
        self._ends = set(_word_ends(text))  # letters that close a word of ours
        self._told = 0  # letters of our text whose times are known
        self._until_s = 0.0  # where the sound ends that has times
        self._word, self._word_s = "", (0.0, 0.0)  # begun and not ended

    def feed(
        self, own: Mapping[str, Any] | None, normalised: Mapping[str, Any] | None, *, sound_until_s: float
    ) -> tuple[WordTiming, ...]:
        """The words that ended. own, normalised: `alignment` and `normalizedAlignment` of one message, as they came.

        sound_until_s: how much sound of the piece there is, this message's included."""
        candidates = [found for found in (characters(normalised), characters(own)) if found]
        if not candidates:
            return ()
        begin_s, chosen = self._place(candidates)
        words = tuple(self._words(begin_s, chosen))
        if chosen:
            self._until_s = max(self._until_s, begin_s + chosen[-1].end_s, sound_until_s)
        return words

    def finish(self) -> tuple[WordTiming, ...]:
        """The word that nothing followed, at the end of the piece."""
        return tuple(self._end_word())

    def _place(self, candidates: Sequence[list[Character]]) -> tuple[float, list[Character]]:
        """Whose characters go on with our text, and where in the piece their times begin."""
        for found in candidates:
            if self._letters.startswith(_said(found), self._told):
                return self._until_s, found
        for found in candidates:  # from the front again, fuller than before: only what is new counts
            if self._told and self._letters.startswith(said := _said(found)):
                return 0.0, _behind(found, self._told) if len(said) > self._told else []
        return self._until_s, candidates[
            -1
        ]  # it reads something else: its own words, for what they are worth

    def _words(self, begin_s: float, found: Sequence[Character]) -> Iterator[WordTiming]:
        ours = self._letters.startswith(_said(found), self._told)
        for character in found:
            if character.text.isspace():
                yield from self._end_word()
                continue
            start_s, end_s = begin_s + character.start_s, begin_s + character.end_s
            self._word_s = (self._word_s[0] if self._word else start_s, end_s)
            self._word += character.text
            if ours:
                self._told += len(_letters(character.text))
                if self._told in self._ends:
                    yield from self._end_word()

    def _end_word(self) -> Iterator[WordTiming]:
        if self._word:
            word, self._word = self._word, ""
            yield WordTiming(word, round(self._word_s[0], 3), round(self._word_s[1], 3))


def characters(alignment: Mapping[str, Any] | None) -> list[Character]:
    """The characters of an alignment as it came over the wire; empty if it is none, or does not add up."""
    if not isinstance(alignment, Mapping):
        return []
    texts, starts = alignment.get("chars"), alignment.get("charStartTimesMs")
    durations = alignment.get("charDurationsMs", alignment.get("charsDurationsMs"))
    if not (isinstance(texts, list) and isinstance(starts, list) and isinstance(durations, list)):
        return []
    if not len(texts) == len(starts) == len(durations):
        return []
    try:
        return [
            Character(str(text), start / 1000, (start + lasts) / 1000)
            for text, start, lasts in zip(texts, starts, durations, strict=True)
        ]
    except TypeError:  # a time that is no number
        return []


def _letters(text: str) -> str:
    """The text as two alignments can be compared: without spaces, whatever their case."""
    return "".join(text.split()).lower()


def _said(found: Sequence[Character]) -> str:
    return _letters("".join(character.text for character in found))


def _word_ends(text: str) -> Iterator[int]:
    """How many letters there are up to the end of each word."""
    end = 0
    for word in text.split():
        end += len(_letters(word))
        yield end


def _behind(found: Sequence[Character], letters: int) -> list[Character]:
    """The characters behind the first so many letters."""
    for number, character in enumerate(found):
        if letters <= 0:
            return list(found[number:])
        letters -= len(_letters(character.text))
    return []

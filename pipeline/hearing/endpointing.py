"""How much silence ends a turn: the votes of the recogniser, of the words, of what was asked for, of a model, and of
the caller's own habits.

Pure. Owned by turn.py, told by session.py. A vote that is missing changes nothing: with none at all it is silence that
decides."""

from __future__ import annotations

from pipeline.hearing.expectation import Expectation
from pipeline.options import TurnHandling

ALPHA = 0.7  # of what was learned before, at each new pause
MARGIN = 1.5  # a turn may end after so many times the caller's usual pause
SURE = 0.5  # the probability from which a model's vote is "complete"


class Endpointing:
    """The delay of one call's turns. language: BCP 47 tag of what is spoken."""

    def __init__(self, options: TurnHandling, language: str = "en-US") -> None:
        self.options = options
        self.language = language
        self.expectation: Expectation | None = None
        self._usual_pause_s: float | None = None
        self.began()

    def began(self) -> None:
        """A new turn: nothing is known of it."""
        self._text = ""
        self._complete: bool | None = None
        self._vote: float | None = None

    def heard(self, text: str, complete: bool | None) -> None:
        """The words so far. complete: what the recogniser thinks, None if nothing."""
        if text != self._text:
            self._vote = None
        self._text, self._complete = text, complete

    def voted(self, probability: float | None) -> None:
        """A model's probability that the turn is over, for the words and sound so far."""
        self._vote = probability

    def went_on(self, pause_s: float) -> None:
        """The caller made a pause of that length inside a turn."""
        usual = self._usual_pause_s
        self._usual_pause_s = pause_s if usual is None else ALPHA * usual + (1 - ALPHA) * pause_s

    def delay_s(self) -> float:
        """Silence that ends the turn, from the end of the last speech, in s."""
        options = self.options
        if self.expectation is not None and (asked := self.expectation.complete(self._text)) is not None:
            return (options.expected_delay_ms if asked else options.incomplete_delay_ms) / 1000
        if self._whole() is False:
            return options.max_delay_ms / 1000
        return self._habit(options.min_delay_ms / 1000, options.max_delay_ms / 1000)

    def _whole(self) -> bool | None:
        """Could the words stand as a turn? The recogniser and the model each may say no."""
        if self._vote is not None:
            return self._vote >= SURE
        return self._complete

    def _habit(self, low: float, high: float) -> float:
        if self.options.endpointing == "fixed" or self._usual_pause_s is None:
            return low
        return min(high, max(low, self._usual_pause_s * MARGIN))

"""How much silence ends a turn: the votes of the recogniser, of the words, of what was asked for, of a model, and
of the caller's own habits.

Pure. Owned by turn.py, told by session.py. A vote that is missing changes nothing: with none at all it is silence that
decides. One more reason to wait never makes the wait shorter."""

from __future__ import annotations

from pipeline.hearing.completeness import is_whole
from pipeline.hearing.expectation import Expectation
from pipeline.hearing.numerals import tongue
from pipeline.hearing.progress import Progress
from pipeline.options import TurnHandling

MARGIN = 1.5  # a turn may end after so many times the pauses that this caller makes
LONGER, SHORTER = (
    0.5,
    0.15,
)  # what a pause longer or shorter than usual weighs: cutting off is worse than waiting
HESITATION_S = 5.0  # a longer silence is no habit


class Endpointing:
    """The delay of one call's turns. language: BCP 47 tag of what is spoken. expectation: what was asked for."""

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
        self._probability: float | None = None

    def heard(self, text: str, complete: bool | None) -> None:
        """The words so far. complete: what the recogniser thinks, None if nothing."""
        if text != self._text:
            self._probability = None
        self._text, self._complete = text, complete

    def voted(self, probability: float | None) -> None:
        """A model's probability that the turn is over, for the words and sound so far."""
        self._probability = probability

    def went_on(self, pause_s: float) -> None:
        """The caller made a pause of that length inside a turn. Told too when a turn was ended too early."""
        if self._progress() is not Progress.OTHER or not 0 <= pause_s <= HESITATION_S:
            return  # pauses while a number is looked up say nothing of how this caller talks
        usual = self._usual_pause_s
        if usual is None:
            self._usual_pause_s = pause_s
        else:
            self._usual_pause_s = usual + (LONGER if pause_s > usual else SHORTER) * (pause_s - usual)

    def delay_s(self) -> float:
        """Silence that ends the turn, from the end of the last speech, in s.

        A ladder: complete answer, whole turn, more must come, unfinished answer. Options that are given in another
        order are lifted, so that no rung is below the one before.
        """
        options = self.options
        usual = options.min_delay_ms / 1000
        longer = max(usual, options.max_delay_ms / 1000)
        match self._progress():
            case Progress.COMPLETE:
                return min(usual, options.expected_delay_ms / 1000)
            case Progress.BEGUN:
                return max(longer, options.incomplete_delay_ms / 1000)
            case Progress.ENOUGH:
                return longer
        return longer if self._more_must_come() else self._habit(usual, longer)

    def _progress(self) -> Progress:
        if self.expectation is None:
            return Progress.OTHER
        return self.expectation.progress(self._text, self.language)

    def _more_must_come(self) -> bool:
        """A model has heard all there is, so it alone decides; without one the recogniser and the words may say so."""
        if self._probability is not None:
            return self._probability < self.options.threshold_for(tongue(self.language))
        return self._complete is False or is_whole(self._text, self.language) is False

    def _habit(self, usual: float, longer: float) -> float:
        if self.options.endpointing == "fixed" or self._usual_pause_s is None:
            return usual
        return min(longer, max(usual, self._usual_pause_s * MARGIN))

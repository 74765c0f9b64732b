"""What stands between one call and its providers: nothing, a tape that records, or a tape that plays.

Not a provider: casting (offhook/worker/casting.py) asks the deck for each provider that an agent wants. `make` makes
the real one, which a tape that plays may never need, so that no key has to be there."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.events import Event
from pipeline.ports import Llm, Stt, Tts


class Deck:
    """No tape: providers as they are. One a call; also the base of those with a tape.

    identity: what is asked of whom, provider and options, as text: another model is another identity."""

    def stt(self, identity: str, make: Callable[[], Stt]) -> Stt:
        return make()

    def llm(self, identity: str, make: Callable[[], Llm]) -> Llm:
        return make()

    def tts(self, identity: str, make: Callable[[], Tts]) -> Tts:
        return make()

    def speaks(self, identity: str) -> str:
        """The provider whose voice was first on tape, so that no voice need be made to know its name; "" for none."""
        return ""

    def noticed(self, event: Event) -> None:
        """What happens on the call."""

    def close(self) -> None:
        """The call is over."""


LIVE = Deck()

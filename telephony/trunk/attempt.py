"""One try of a call that we place, and whether another follows it: the next address, or where a 3xx sends us.

Driven by phone.py. The rules are in locate.py and sip/redirect.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from telephony.call.events import CallEvent, Ended, Ringing
from telephony.sip.redirect import Redirection
from telephony.sip.transaction import Flow
from telephony.trunk.locate import worth_another


@dataclass(frozen=True, slots=True)
class Way:
    """A URI and one of its addresses. redirected: a 3xx named it."""

    uri: str
    flow: Flow
    redirected: bool = False


class Attempt:
    """Listens to one try of a call for whoever dialled, and keeps from them an end that is none.

    after: the way that is next anyhow. onward: where a 3xx sends us instead."""

    def __init__(
        self,
        listen: Callable[[CallEvent], None] | None,
        way: Way,
        after: Way | None,
        course: Redirection,
    ) -> None:
        self.failed = False
        self.onward: list[str] = []
        self._listen, self._way, self._after, self._course = listen, way, after, course
        self._rang = False

    def __call__(self, event: CallEvent) -> None:
        self._rang = self._rang or isinstance(event, Ringing)
        if isinstance(event, Ended) and event.by != "us" and not self.failed:
            self.onward = self._course.follow(self._way.uri, event.targets)
            self.failed = bool(self.onward) or self._next_is_worth_it(event.code)
        if self._listen is not None and not self.failed:
            self._listen(event)

    @property
    def more(self) -> bool:
        """Is there another way to try?"""
        return self._after is not None

    def give_up(self) -> None:
        """Nothing was heard; what becomes of it is nobody's news."""
        self.failed = True

    def _next_is_worth_it(self, code: int) -> bool:
        """Of the places that one 3xx named, the next is tried whatever the last one said, short of "nobody
        anywhere" (RFC 3261 §8.1.3.4)."""
        if self._after is None:
            return False
        sisters = self._way.redirected and self._after.redirected
        return (sisters and 400 <= code < 600) or worth_another(code, rang=self._rang)

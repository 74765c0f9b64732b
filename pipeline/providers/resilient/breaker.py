"""When to leave a failing provider alone, and when to try it again. Pure: `now` is passed in.

Driven by member.py, which every request to the provider reports to. Not a timeout, and it asks nobody itself."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import Cause

BreakerState = Literal["closed", "open", "half_open"]
HOPELESS = ("auth", "quota")  # the next request will fail as well: nobody pays or sets a key within a second
KEPT = 256  # outcomes; a busy worker has that many in a few seconds, which is window enough


@dataclass(frozen=True, slots=True)
class Rest:
    """When a provider is left alone, and for how long.

    after: so many failures within window_s, if they are at least half of what was asked. rest_s: the first rest; each
    failed trial doubles it, to longest_s at most.
    """

    after: int = 2
    window_s: float = 30.0
    rest_s: float = 10.0
    longest_s: float = 300.0


class Breaker:
    """Closed: requests pass. Open: none does. Half open: one passes, on trial."""

    def __init__(self, rest: Rest | None = None) -> None:
        self._rest = rest or Rest()
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=KEPT)  # loop time, was it a failure?
        self._rest_s = self._rest.rest_s
        self.state: BreakerState = "closed"
        self.until = 0.0  # loop time in s: when the rest is over
        self.cause: Cause = "server"  # of the newest failure

    def takes(self, now: float) -> bool:
        """May it be asked now? While half open the first who asks has the trial and owes its outcome."""
        if self.state == "open" and now >= self.until:
            self.state = "half_open"
            return True
        return self.state == "closed"

    def succeeded(self, now: float) -> None:
        """It delivered: whatever was before, it works."""
        if self.state != "closed":
            self._outcomes.clear()
            self._rest_s = self._rest.rest_s
            self.state = "closed"
        self._outcomes.append((now, False))

    def failed(self, now: float, cause: Cause, retry_after: float | None = None) -> None:
        """It failed. retry_after: s, as the provider said itself."""
        self.cause = cause
        self._outcomes.append((now, True))
        if self.state == "half_open":
            self._rest_s = min(self._rest_s * 2, self._rest.longest_s)
        elif not (cause in HOPELESS or retry_after is not None or self._too_often(now)):
            return
        self.state, self.until = "open", max(self.until, now + max(self._rest_s, retry_after or 0.0))

    def released(self) -> None:
        """The request was given up for reasons of ours (the caller interrupted): no outcome, another may try."""
        if self.state == "half_open":
            self.state = "open"

    def _too_often(self, now: float) -> bool:
        while self._outcomes and self._outcomes[0][0] <= now - self._rest.window_s:
            self._outcomes.popleft()
        failures = sum(failure for _, failure in self._outcomes)
        return failures >= self._rest.after and 2 * failures >= len(self._outcomes)

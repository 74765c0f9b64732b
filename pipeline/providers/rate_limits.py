"""How often a server may still be asked, as its headers say: so that we know before it refuses.

Pure: `now` is passed in. Groq and OpenAI send the same headers with every answer, `x-ratelimit-remaining-requests` and
`-tokens`, and `-reset-…` as "2m59.5s" (console.groq.com/docs/rate-limits, OpenAI's guide to rate limits).
Not a queue and not a breaker: whoever is refused here asks another provider at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.errors import ProviderError

KINDS = ("requests", "tokens")
SCARCE = 5  # requests left: then none is spent on a guess
CAREFUL_S = 60.0  # after a 429: limits are by the minute, and Groq's headers tell requests by the day only
UNKNOWN_S = 1.0  # nothing is left, and no word when there will be

_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")


class RateLimits:
    """What is known of one server. Shared by all calls of a worker, like the key it belongs to."""

    def __init__(self) -> None:
        self._until = 0.0  # loop time in s: before that it would refuse
        self._left: float = float("inf")  # requests
        self._careful_until = 0.0  # loop time in s

    def note(self, headers: Mapping[str, str], now: float) -> None:
        """The headers of any answer. Names in any case."""
        lower = {name.lower(): value for name, value in headers.items()}
        for kind in KINDS:
            left = _number(lower.get(f"x-ratelimit-remaining-{kind}", ""))
            if left is None:
                continue
            if kind == "requests":
                self._left = left
            if left <= 0:
                wait_s = seconds(lower.get(f"x-ratelimit-reset-{kind}", ""))
                self._until = max(self._until, now + (UNKNOWN_S if wait_s is None else wait_s))

    def refused(self, error: ProviderError, now: float) -> None:
        """The server refused: if it said for how long, it is believed."""
        if error.cause == "rate_limit":
            self._careful_until = now + CAREFUL_S
            self._until = max(self._until, now + (error.retry_after or 0.0))

    def check(self, provider: str, now: float) -> None:
        """Raises ProviderError if the server would refuse now."""
        if now < self._until:
            wait_s = self._until - now
            fact = f"its limit is used up for {wait_s:.1f} s more. Raise the limit with the vendor, or name a fallback."
            raise ProviderError(provider, "rate_limit", fact, retry_after=wait_s)
        if self._until:
            self._until, self._left = (
                0.0,
                float("inf"),
            )  # a new window: what was left of the old one says nothing

    def scarce(self, now: float) -> bool:
        """Should none be spent on a guess: because few are left, or the server has complained?"""
        return self._left <= SCARCE or now < self._careful_until


def seconds(text: str) -> float | None:
    """A duration as these servers write it ("7.66s", "2m59.56s", "120ms", "6m0s"), or a bare number of s."""
    if (bare := _number(text)) is not None:
        return bare
    if not text or _PART.sub("", text):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""How a standing call proves that both sides are still there: session timers (RFC 4028), in both roles.

Pure. Driven by call.py, which sends what `due` asks for. Not the media timeout: a call on hold has no media and
stands all the same."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Self

from telephony.errors import SipSyntaxError
from telephony.sip.endpoint import Headers
from telephony.sip.message import Message, Request, Response
from telephony.sip.screening import MIN_SESSION_S, session_expires

INTERVAL_S = 1800  # what we propose (RFC 4028 §4 recommends it)
AGAIN_S = 4.0  # after a refresh that crossed one of theirs; longer than any wait of theirs (RFC 3261 §14.1)

_REFRESHER = re.compile(r";\s*refresher\s*=\s*(uac|uas)", re.IGNORECASE)


class Due(Enum):
    """What the time asks for."""

    REFRESH = auto()  # send UPDATE or re-INVITE
    END = auto()  # nobody has refreshed: BYE


class SessionTimer:
    """The session timer of one call. interval_s: 0 while none runs. ours: the refreshing is up to us."""

    def __init__(self) -> None:
        self.interval_s = 0
        self.ours = False
        self._ends_at = 0.0
        self._refresh_at: float | None = None

    def snapshot(self) -> list[Any]:
        """Plain values for `restore`; deadlines are of the machine's monotonic clock."""
        return [self.interval_s, self.ours, self._ends_at, self._refresh_at]

    @classmethod
    def restore(cls, saved: Sequence[Any]) -> Self:
        """The timer that `snapshot` described."""
        timer = cls()
        timer.interval_s, timer.ours, timer._ends_at, timer._refresh_at = saved
        return timer

    def offer(self) -> Headers:
        """Header lines of our INVITE, re-INVITE or UPDATE."""
        role = f";refresher={'uac' if self.ours else 'uas'}" if self.interval_s else ""
        return (
            ("Supported", "timer"),
            ("Session-Expires", f"{self.interval_s or INTERVAL_S}{role}"),
            ("Min-SE", str(MIN_SESSION_S)),
        )

    def answered(self, response: Response, now: float) -> None:
        """A 2xx to ours. Without Session-Expires in it there is no timer (§7.2)."""
        interval_s = None
        with contextlib.suppress(SipSyntaxError):
            interval_s = session_expires(response)
        self._start(interval_s, _refresher(response) != "uas", now)

    def answer(self, request: Request, now: float) -> Headers:
        """Their INVITE, re-INVITE or UPDATE gets a 2xx: its header lines, with the refresher named (§9)."""
        theirs = session_expires(request)
        if theirs is None:
            self._start(None, False, now)
            return ()
        able = any(tag.lower() == "timer" for tag in request.values("Supported"))
        role = _refresher(request) or ("uac" if able else "uas")
        if not able:
            role = "uas"  # they would not know how
        self._start(theirs, role == "uas", now)
        lines: Headers = (("Session-Expires", f"{self.interval_s};refresher={role}"), ("Supported", "timer"))
        return (*lines, ("Require", "timer")) if able else lines

    def refused(self, now: float) -> None:
        """A refresh of ours met another request, or a far side that could not just then: try again soon."""
        if self.ours and self.interval_s and self._refresh_at is None:
            self._refresh_at = now + AGAIN_S

    def next_deadline(self) -> float | None:
        """Loop time at which `due` has something to say, None while no timer runs."""
        if not self.interval_s:
            return None
        return self._ends_at if self._refresh_at is None else min(self._refresh_at, self._ends_at)

    def due(self, now: float) -> Due | None:
        """What to do now; a refresh is asked for once, and again only if it was refused (§10)."""
        if not self.interval_s:
            return None
        if now >= self._ends_at:
            self.interval_s = 0
            return Due.END
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            return Due.REFRESH
        return None

    def _start(self, interval_s: int | None, ours: bool, now: float) -> None:
        self.interval_s = max(interval_s, MIN_SESSION_S) if interval_s else 0
        self.ours = ours
        self._ends_at = now + self.interval_s - min(32.0, self.interval_s / 3)
        self._refresh_at = now + self.interval_s / 2 if ours else None


def _refresher(message: Message) -> str:
    found = _REFRESHER.search(message.get("Session-Expires") or "")
    return found[1].lower() if found else ""

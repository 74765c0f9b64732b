"""Provisional responses that must arrive: 18x with a number, repeated until PRACK names it (RFC 3262).

Pure. `ReliableResponses` is driven by uas.py, one per INVITE to us; `SeenResponses` by uac.py, one per INVITE of
ours. Not what a PRACK carries: offers and answers are the call's."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Self
from zlib import crc32

from telephony.sip.headers import RAck
from telephony.sip.message import MAX_NUMBER, Request, Response
from telephony.sip.transaction import PATIENCE, T1, Action, Flow, PrackMissing, Send, Timers, Up

TAG = "100rel"


def has_tag(message: Request | Response, name: str) -> bool:
    """`100rel` stands in that list of option tags: Require or Supported."""
    return any(tag.lower() == TAG for tag in message.values(name))


def wanted(invite: Request, *, described: bool) -> bool:
    """A 18x to that INVITE must arrive: the caller requires it, or takes it and the 18x describes media.

    A re-INVITE gets none: it rings nobody."""
    if invite.to_tag:
        return False
    return has_tag(invite, "Require") or (described and has_tag(invite, "Supported"))


def first_number(word: str) -> int:
    """The first RSeq of an INVITE, 1 to 2^31-1 (RFC 3262 §3), drawn from a random word."""
    return crc32(word.encode()) % MAX_NUMBER + 1


class ReliableResponses:
    """Our reliable 18x to one INVITE: one unacknowledged at a time, further ones wait (RFC 3262 §3).

    described: one with a session description has left, so the 2xx needs none (RFC 3261 §13.2.1). final: a 2xx
    that waits for a PRACK; whoever drives this sends it once `settled`. first: RSeq to begin with."""

    def __init__(self, flow: Flow, first: int) -> None:
        self.described = False
        self.final: Response | None = None
        self._flow = flow
        self._next = first
        self._open: Response | None = None  # sent, its PRACK is not here
        self._queue: deque[Response] = deque()
        self._ended = False
        self._wait = T1
        self._timers = Timers()

    def snapshot(self) -> dict[str, Any]:
        """Plain values for `restored`."""
        return {"described": self.described, "next": self._next, "waits": self._open is not None}

    @classmethod
    def restored(cls, flow: Flow, saved: Mapping[str, Any]) -> Self:
        """As another process left them, if none waited for its PRACK."""
        reliable = cls(flow, saved["next"])
        reliable.described = saved["described"]
        return reliable

    @property
    def settled(self) -> bool:
        """No description of ours is on its way: a 2xx may go (RFC 3262 §3)."""
        return self._open is None or not self._open.body

    def number(self, response: Response) -> bool:
        """Make a 18x reliable. Returns False if it must wait for the PRACK of the one before."""
        if self._open is not None:
            self._queue.append(response)
            return False
        response.add("Require", TAG).add("RSeq", self._next)
        self._next += 1
        self._open = response
        self.described = self.described or bool(response.body)
        return True

    def sent(self, now: float) -> None:
        """The 18x that was just numbered has left: repeat it until its PRACK is here."""
        self._wait = T1
        self._timers.set("repeat", now + T1)
        self._timers.set("give up", now + PATIENCE)

    def acknowledge(self, prack: Request) -> bool:
        """A PRACK. Returns False if it names none that waits for it: then it gets a 481. Raises SipSyntaxError
        if its RAck is missing or cannot be read."""
        rack = RAck.parse(prack.get("RAck") or "")
        waiting = self._open
        if waiting is None or (str(rack.rseq), rack.cseq.number, rack.cseq.method) != (
            waiting.get("RSeq"),
            waiting.cseq.number,
            waiting.cseq.method,
        ):
            return False
        self._open = None
        self._timers.clear()
        return True

    def next_queued(self) -> Response | None:
        """The 18x whose turn it is now; None after a final response (RFC 3262 §3) and if none waits."""
        return self._queue.popleft() if self._queue and self._open is None and not self._ended else None

    def end(self) -> None:
        """A final response leaves: nothing is repeated any more, but a late PRACK is still known."""
        self._ended = True
        self.final = None
        self._queue.clear()
        self._timers.clear()

    def next_deadline(self) -> float | None:
        """When `expire` must be called."""
        return self._timers.next()

    def expire(self, now: float) -> list[Action]:
        """Repeat at T1, 2·T1, 4·T1 … on every transport; after 64·T1 say PrackMissing, once."""
        for name in self._timers.due(now):
            if self._open is None:
                continue
            if name == "give up":
                self._timers.clear()
                return [Up(PrackMissing(self._open))]
            self._wait *= 2
            self._timers.set("repeat", now + self._wait)
            return [Send(self._open, self._flow)]
        return []


class SeenResponses:
    """Reliable 18x to one INVITE of ours, by To tag: each branch of a fork counts for itself (RFC 3262 §4)."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def take(self, response: Response, number: int) -> bool:
        """Note a reliable 18x with that RSeq. Returns False for a repeat and for one out of order: it is neither
        acknowledged nor acted upon."""
        last = self._last.get(response.to_tag)
        if last is not None and number != last + 1:
            return False
        self._last[response.to_tag] = number
        return True


def number_of(response: Response) -> int | None:
    """The RSeq of a reliable 18x with a To tag; None for any other: without a dialog there is no PRACK."""
    digits = (response.get("RSeq") or "").strip()
    if not (100 < response.status < 200 and response.to_tag and has_tag(response, "Require")):
        return None
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None

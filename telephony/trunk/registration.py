"""One login at a carrier: REGISTER, refreshed before it runs out, tried again when it fails (RFC 3261 §10.2).

Pure: responses and time in, requests and a deadline out. Driven by registrar_client.py. Not the password:
401 and 407 are answered by sip/uac.py, with the Login that goes along. A registrar that was restarted and
forgot us hears from us at the next refresh, or as soon as it answers again if that failed. A trunk with several
registrars stays with the one that took us, and goes on to the next when that one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from telephony.errors import SipSyntaxError
from telephony.sip.headers import Address, RetryAfter
from telephony.sip.message import Request, Response
from telephony.sip.uri import Uri, join_host_port

FIRST_WAIT_S = 4.0  # before the second try; doubles with every failure
LONGEST_WAIT_S = 300.0
REFUSED_WAIT_S = 300.0  # a wrong password does not get better, and carriers block who insists
REFRESH_ROOM_S = 40.0  # a refresh may take 32 s to fail (timer F), and wants a second try
TOO_BRIEF_TRIES = 3
SHORTEST_S, LONGEST_S = 10, 7 * 24 * 3600  # what we believe of a registrar that names an expiry


class Standing(Enum):
    """How we stand with the registrar."""

    OUT = auto()  # not registered, or not any more
    IN = auto()
    LEFT = auto()  # we have said goodbye


@dataclass(frozen=True, slots=True)
class Account:
    """What is registered where. uri: of the user, "sip:bot@carrier.example". expiry_s: what we ask for."""

    uri: str
    expiry_s: int = 3600

    @classmethod
    def at(cls, user: str, host: str, port: int | None = None, expiry_s: int = 3600) -> Account:
        """The account of a user at a host."""
        return cls(f"sip:{user}@{join_host_port(host, port)}", expiry_s)

    @property
    def registrar(self) -> str:
        """The Request-URI of its REGISTER: the domain without a user (RFC 3261 §10.2)."""
        uri = Uri.parse(self.uri)
        return f"{uri.scheme}:{join_host_port(uri.host, uri.port)}"


class Registration:
    """The machine. spread: draws from (low, high), so that a thousand phones do not come back at once. others:
    the same user at further registrars, in order.

    Only `receive` assigns standing. account: the one that is asked now. contact:
    where we are reached. until: loop time at which the
    registrar forgets us. why: what the last failure said, "" after success."""

    def __init__(
        self,
        account: Account,
        contact: str,
        call_id: str,
        tag: str,
        now: float,
        spread: Callable[[float, float], float],
        others: Sequence[Account] = (),
    ) -> None:
        self.account = account
        self._accounts = (account, *others)
        self._untried = len(others)  # before we wait
        self.standing = Standing.OUT
        self.until = 0.0
        self.why = ""
        self.failures = 0  # in a row
        self.contact = contact
        self._call_id, self._tag = call_id, tag
        self._spread = spread
        self._number = 0
        self._expiry_s = account.expiry_s
        self._leaving = False
        self._too_brief = 0  # 423s in a row
        self._next = now

    def next_deadline(self) -> float | None:
        """When `request` is due, None once we have left."""
        return None if self.standing is Standing.LEFT else self._next

    def request(self) -> Request:
        """The REGISTER to send now, complete but for Via and credentials."""
        self._number += 1
        expiry_s = 0 if self._leaving else self._expiry_s
        request = Request("REGISTER", self.account.registrar)
        request.add("Max-Forwards", "70").add("From", f"<{self.account.uri}>;tag={self._tag}")
        request.add("To", f"<{self.account.uri}>").add("Call-ID", self._call_id)
        request.add("CSeq", f"{self._number} REGISTER")
        request.add("Contact", f"{self.contact};expires={expiry_s}").add("Expires", expiry_s)
        return request

    def leave(self, now: float) -> bool:
        """We go. True if the registrar must be told: then `request` is the goodbye."""
        self._leaving, self._next = True, now
        if self.standing is not Standing.IN:
            self.standing = Standing.LEFT
        return self.standing is Standing.IN

    def receive(self, response: Response, now: float) -> None:
        """The final response to our REGISTER; 408 or 503 of our own if there was none."""
        self._number = max(self._number, _number(response))  # a challenge took one more
        if self._leaving:
            self.standing = Standing.LEFT
        elif 200 <= response.status < 300:
            self._registered(response, now)
        elif self._too_brief < TOO_BRIEF_TRIES and _min_expires(response) > self._expiry_s:
            self._too_brief += 1
            self._expiry_s, self._next = _min_expires(response), now  # RFC 3261 §10.2.8
        else:
            self._failed(response, now)

    def _registered(self, response: Response, now: float) -> None:
        granted = self._granted(response)
        self.standing, self.until = Standing.IN, now + granted
        self.failures, self.why, self._too_brief = 0, "", 0
        self._untried = len(self._accounts) - 1
        room = min(granted / 2, max(REFRESH_ROOM_S, granted / 5))
        self._next = self.until - room

    def _granted(self, response: Response) -> float:
        """How long our contact is known, s: what the registrar says of it, else of all, else what we asked."""
        try:
            contacts = response.contacts
            ours = Address.parse(self.contact).uri
            mine = next((one for one in contacts if one.uri.same_as(ours)), None)
            if mine is None and len(contacts) == 1:  # rewritten on its way through a NAT
                mine = contacts[0]
            said = (mine.params.get("expires") if mine else None) or str(response.expires or "")
        except SipSyntaxError:
            said = ""
        seconds = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else self._expiry_s
        return max(SHORTEST_S, min(seconds, LONGEST_S))

    def _failed(self, response: Response, now: float) -> None:
        self.failures += 1
        self._too_brief = 0
        self.why = f"{response.status} {response.reason}".strip()
        if now >= self.until:
            self.standing = Standing.OUT
        refused = 400 <= response.status < 500 and response.status not in (408, 480)
        if not refused:
            self.account = self._accounts[(self._accounts.index(self.account) + 1) % len(self._accounts)]
            if self._untried:
                self._untried, self._next = self._untried - 1, now
                return
            self._untried = len(self._accounts) - 1
        longest = (
            REFUSED_WAIT_S if refused else min(FIRST_WAIT_S * 2 ** min(self.failures - 1, 10), LONGEST_WAIT_S)
        )
        wait = self._spread(longest / 2, longest)  # RFC 5626 §4.5
        self._next = now + max(wait, _retry_after(response))


def _number(response: Response) -> int:
    try:
        return response.cseq.number
    except SipSyntaxError:  # one of our own, without headers
        return 0


def _min_expires(response: Response) -> int:
    """What a 423 wants at least, s; 0 for any other response."""
    if response.status != 423:
        return 0
    text = (response.get("Min-Expires") or "").strip()
    return min(int(text), LONGEST_S) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _retry_after(response: Response) -> float:
    try:
        return min(RetryAfter.parse(response.get("Retry-After") or "0").seconds, 3600)
    except SipSyntaxError:
        return 0.0

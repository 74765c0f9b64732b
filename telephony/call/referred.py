"""Being sent elsewhere: what a REFER asks of us, and what its sender is told of it (RFC 3515, RFC 4488).

Pure. Driven by moving.py. Not whether we go (the phone's user decides) and not the new leg (moves.py). The
mirror of transfer.py, which is the side that asks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from telephony.errors import SipSyntaxError
from telephony.sip.digest import Credentials
from telephony.sip.endpoint import Headers
from telephony.sip.headers import ReferTo, split_list
from telephony.sip.message import Request, Response

EXPIRES_S = 180  # life of the subscription that a REFER makes; longer than any phone rings
SIPFRAG = "message/sipfrag;version=2.0"


@dataclass(frozen=True, slots=True)
class Detour:
    """Where a call goes that its far side refers elsewhere.

    target: SIP URI. caller: URI for From, "" for who we are in the leg so far. headers: more lines of the INVITE."""

    target: str
    caller: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Credentials | None = None


class Referral:
    """One REFER that asks something of us. target: where to. silent: its sender wants no news (RFC 4488).

    now: loop time, s. again: not the first one of its dialog, so its news must name it (RFC 3515 §2.4.6)."""

    def __init__(self, request: Request, now: float, *, again: bool = False) -> None:
        """Raises SipSyntaxError (400) unless there is exactly one Refer-To that can be read (§2.4.2)."""
        self.target = _target(request)
        self.silent = (request.get("Refer-Sub") or "").strip().lower().startswith("false")
        self._referred_by = request.all("Referred-By")
        self._event = f"refer;id={request.cseq.number}" if again else "refer"
        self._until = now + EXPIRES_S
        self._closed = self.silent

    @property
    def accepted(self) -> Headers:
        """Header lines of the 202."""
        return (("Refer-Sub", "false"), ("Supported", "norefersub")) if self.silent else ()

    @property
    def goes_on(self) -> tuple[tuple[str, str], ...]:
        """Header lines of the INVITE that follows: whom to replace, and who sent us (RFC 3891, RFC 3892)."""
        lines = [("Referred-By", line) for line in self._referred_by]
        if self.target.replaces is not None:
            lines.append(("Replaces", str(self.target.replaces)))
            if "replaces" in (self.target.address.uri.header("Require") or "").lower():
                lines.append(("Require", "replaces"))
        return tuple(lines)

    def unheard(self) -> None:
        """They do not take our news: send no more (RFC 6665 §4.2.2)."""
        self._closed = True

    def news(self, code: int, now: float) -> tuple[Headers, bytes] | None:
        """The NOTIFY that says how far it is: header lines and body. None when nobody wants to hear it.

        code: SIP status; from 200 on it is the last one (§2.4.5)."""
        if self._closed:
            return None
        self._closed = code >= 200
        left_s = max(1, round(self._until - now))
        state = "terminated;reason=noresource" if self._closed else f"active;expires={left_s}"
        headers = (("Event", self._event), ("Subscription-State", state))
        return headers, f"{Response(code).first_line}\r\n".encode()


def plain_uri(to: ReferTo) -> str:
    """The target without what is not part of an address: its `?headers` and `;method`."""
    uri = to.address.uri
    params = {name: value for name, value in uri.params.items() if name != "method"}
    return str(replace(uri, params=params, headers=()))


def _target(request: Request) -> ReferTo:
    targets = [item for line in request.all("Refer-To") for item in split_list(line)]
    if len(targets) != 1:
        raise SipSyntaxError(f"REFER with {len(targets)} Refer-To. Send exactly one (RFC 3515 §2.4.2).")
    to = ReferTo.parse(targets[0])
    if any(ord(mark) < 32 for mark in str(to.replaces or "")):  # %0d%0a would be another header line
        raise SipSyntaxError("Refer-To: control characters in Replaces. Send a Call-ID and two tags.")
    return to

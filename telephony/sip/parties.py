"""Who calls, and which number was called: the one order in which the headers that claim it are believed.

Pure. Reads a request (message.py). No dial plan, no trunk list: access.py knows whether the peer is trusted
(RFC 3261 §20, RFC 3323, RFC 3325, RFC 5806, RFC 7044)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from telephony.errors import SipSyntaxError
from telephony.sip.headers import Address
from telephony.sip.message import Request
from telephony.sip.uri import readable, unescape

_HIDING = frozenset(
    {"id", "user", "header"}
)  # Privacy values that hide the caller (RFC 3323 §4.2, RFC 3325 §9.3)


@dataclass(frozen=True, slots=True)
class Caller:
    """The calling side, for the dial plan. When `hidden`, number and name stay out of logs and prompts.

    number: "" if withheld or not given. name: display name, "" if none."""

    number: str
    name: str
    hidden: bool

    @property
    def shown(self) -> str:
        """The number, for logs, records and prompts: "" if the caller hides it."""
        return "" if self.hidden else self.number


@dataclass(frozen=True, slots=True)
class Parties:
    """What an INVITE says about who calls whom.

    diverted_from: numbers that forwarded the call, latest first. identity: Identity lines as received (RFC
    8224), not verified here. verstat: what the carrier's own check of them found (3GPP TS 24.229 §7.2A.20),
    "" if it does not say or is not believed. extra: its X- headers."""

    caller: Caller
    called: str
    diverted_from: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    verstat: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    def facts(self) -> dict[str, Any]:
        """Plain values for records and agents; nothing that the caller hides."""
        return {
            "caller": self.caller.shown,
            "caller_name": "" if self.caller.hidden else self.caller.name,
            "caller_hidden": self.caller.hidden,
            "called": self.called,
            "diverted_from": list(self.diverted_from),
            "identity": list(self.identity) if not self.caller.hidden else [],
            "verstat": self.verstat,
            "headers": [list(line) for line in self.extra],
        }


def parties(request: Request, *, trusted: bool, contact_user: str = "") -> Parties:
    """Everybody whom an INVITE names. trusted: the trunk's word on callers is believed. contact_user: the user
    part of the Contact that we registered there, "" for none."""
    return Parties(
        caller=caller(request, trusted=trusted),
        called=called(request, contact_user),
        diverted_from=tuple(diverted_from(request)),
        identity=tuple(readable(line) for line in request.all("Identity")),
        verstat=_verstat(request) if trusted else "",
        extra=tuple((name, readable(value)) for name, value in request.headers if name[:2].lower() == "x-"),
    )


def caller(request: Request, *, trusted: bool) -> Caller:
    """P-Asserted-Identity, else Remote-Party-ID, else From; the first two only from a trusted trunk."""
    claims = (
        [*_readable(request, "P-Asserted-Identity"), *_readable(request, "Remote-Party-ID")]
        if trusted
        else []
    )
    believed = next((claim for claim in claims if claim.uri.number), None) or request.from_
    wishes = {word.strip().lower() for line in request.all("Privacy") for word in line.split(";")}
    restricted = {(claim.params.get("privacy") or "off").lower() for claim in claims} - {"off"}
    nameless = _anonymous(believed)
    return Caller(
        number="" if nameless else believed.uri.number,
        name="" if nameless else believed.name,
        hidden=bool(wishes & _HIDING or restricted) or _anonymous(request.from_),
    )


def called(request: Request, contact_user: str = "") -> str:
    """The number that was dialled: Request-URI, else To, else P-Called-Party-ID; "" if none has a user.

    A registrar puts our registered contact into the Request-URI, which then says nothing: the number is what
    it replaced, in P-Called-Party-ID (RFC 7315 §4.2), else what the caller's To says."""
    asserted = [address.uri for address in _readable(request, "P-Called-Party-ID")]
    dialled = [request.target, request.to.uri, *asserted]
    if contact_user and unescape(request.target.user) == contact_user:
        dialled = [uri for uri in (*asserted, request.to.uri) if uri.number != contact_user] + dialled
    return next((uri.number for uri in dialled if uri.number), "")


def diverted_from(request: Request) -> list[str]:
    """Numbers that forwarded this call, latest first: Diversion (RFC 5806), else History-Info (RFC 7044)."""
    diversions = [address.uri.number for address in _readable(request, "Diversion")]
    if diversions:
        return diversions
    history = [address.uri.number for address in _readable(request, "History-Info")]
    return history[-2::-1]  # the last entry is the present target


def _readable(request: Request, name: str) -> list[Address]:
    """Addresses of an optional header; one that cannot be read is no reason to refuse the call."""
    found = []
    for item in request.values(name):
        try:
            found.append(Address.parse(item))
        except SipSyntaxError:
            continue
    return found


def _verstat(request: Request) -> str:
    """`;verstat=` of the number that is believed first, wherever in the URI it was put."""
    for address in [*_readable(request, "P-Asserted-Identity"), request.from_]:
        if found := address.uri.number_params.get("verstat") or address.uri.params.get("verstat"):
            return found
    return ""


def _anonymous(address: Address) -> bool:
    uri = address.uri
    return uri.host.lower() == "anonymous.invalid" or uri.user.lower() in (
        "anonymous",
        "unavailable",
        "restricted",
    )

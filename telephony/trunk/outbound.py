"""Which numbers may be dialled, and what a call out over a trunk says of itself.

Pure. Numbers that no pattern allows are refused: an agent that a caller talks into dialling a premium number
costs real money. Driven by whoever places or transfers calls."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.dialplan.number import Pattern, normalise
from telephony.errors import NotAllowed
from telephony.sip.digest import Credentials
from telephony.sip.headers import quote
from telephony.sip.redirect import MayFollow, same_host
from telephony.sip.uri import Uri, join_host_port

_NUMBER = re.compile(r"\+?[0-9][0-9*#]*")


@dataclass(frozen=True, slots=True)
class WayOut:
    """How calls leave over one trunk.

    host, port: its proxy; more: others, for when it fails. allowed: the numbers that may be dialled, none if
    it is empty. caller: the number that is shown, "" to show none. asserted: it also goes into
    P-Asserted-Identity (RFC 3325), as carriers want it that bill by it. headers: further lines of each INVITE, the
    same on every call."""

    trunk: str
    host: str
    port: int | None = None
    allowed: tuple[Pattern, ...] = ()
    credentials: Credentials | None = None
    caller: str = ""
    asserted: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    more: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Dialling:
    """What `Phone.dial` takes: targets in order and caller as URIs, header lines, who we are, the trunk's name, where a
    3xx may send us."""

    targets: tuple[str, ...]
    caller: str
    headers: tuple[tuple[str, str], ...]
    credentials: Credentials | None
    trunk: str
    redirect: MayFollow = same_host

    @property
    def target(self) -> str:
        """The one that is tried first."""
        return self.targets[0]


def dialling(way: WayOut, number: str, *, name: str = "", hide: bool = False) -> Dialling:
    """A call to `number` over a trunk. name: shown with ours. hide: ask for our number not to be shown.

    Raises NotAllowed if no pattern of the trunk fits the number."""
    digits = normalise(number)
    require_allowed(way, digits)
    places = [join_host_port(host, port) for host, port in ((way.host, way.port), *way.more)]
    user = way.caller or (way.credentials.user if way.credentials else "")
    headers = list(way.headers)
    if way.asserted and user:
        shown = f"{quote(name)} " if name else ""
        headers.append(("P-Asserted-Identity", f"{shown}<sip:{user}@{way.host}>"))
    if hide:
        headers.append(("Privacy", "id"))
    shown_as = f"sip:{user}@{way.host}" if user and not hide else "sip:anonymous@anonymous.invalid"
    targets = tuple(f"sip:{digits}@{place}" for place in places)
    return Dialling(targets, shown_as, tuple(headers), way.credentials, way.trunk, redirects(way))


def redirects(way: WayOut) -> MayFollow:
    """A 3xx may send us on within the trunk, to numbers that the trunk may dial: a redirect must not cost what a
    call may not."""

    def allowed(dialled: Uri, target: Uri) -> bool:
        try:
            require_allowed(way, str(target))
        except NotAllowed:
            return False
        return same_host(dialled, target)

    return allowed


def require_allowed(way: WayOut, target: str) -> None:
    """A number, or a URI whose user part is one, must fit a pattern of the trunk. Raises NotAllowed."""
    number = normalise(Uri.parse(target).number if ":" in target else target)
    if _NUMBER.fullmatch(number) and any(not pattern.mismatch(number) for pattern in way.allowed):
        return
    raise NotAllowed(
        f"trunk {way.trunk}: {number!r} may not be dialled. If it should, add it to `allowed:` of the trunk."
    )

"""Where a 3xx sends us, and how far we go along (RFC 3261 §8.1.3.4).

Pure. Driven by the calls, which read a 3xx, and by phone.py, which dials on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from telephony.errors import SipSyntaxError
from telephony.sip.headers import Address
from telephony.sip.message import Response
from telephony.sip.uri import Uri

MAX_REDIRECTS = 5  # 3xx that are followed for one call
MAX_TARGETS = 10  # of one 3xx

MayFollow = Callable[[Uri, Uri], bool]  # (what was dialled, where a 3xx sends us)


def redirect_targets(response: Response) -> tuple[str, ...]:
    """The Contacts of a 3xx, highest q first and otherwise as listed; what cannot be read is left out.

    Headers and method that a URI asks for are not carried over: they would let the far side write our INVITE."""
    found: list[tuple[float, str]] = []
    for item in response.values("Contact"):
        try:
            address = Address.parse(item)
            quality = min(1.0, max(0.0, float(address.params.get("q") or "1")))
        except (SipSyntaxError, ValueError):
            continue
        params = {name: value for name, value in address.uri.params.items() if name != "method"}
        found.append((quality, str(replace(address.uri, headers=(), params=params))))
    return tuple(uri for _, uri in sorted(found, key=lambda pair: -pair[0]))[:MAX_TARGETS]


def same_host(dialled: Uri, target: Uri) -> bool:
    """The default: on at the host and port that was dialled, nowhere else.

    Whoever answers a call could otherwise make us dial anybody, and prove who we are to them."""
    return (target.host.lower(), target.address[1]) == (dialled.host.lower(), dialled.address[1])


class Redirection:
    """The redirects of one call. dialled: what was asked for. may_follow: who decides about each target."""

    def __init__(self, dialled: Sequence[str], may_follow: MayFollow) -> None:
        self._seen = {_name(target) for target in dialled}
        self._may_follow = may_follow
        self._followed = 0

    def follow(self, dialled: str, targets: Sequence[str]) -> list[str]:
        """Where to go on, best first; none if it goes in circles, too far, or nowhere that is allowed.

        A sips: call is not continued as sip: (§8.1.3.4)."""
        if self._followed == MAX_REDIRECTS:
            return []
        source, fresh = Uri.parse(dialled), []
        for target in targets:
            uri = Uri.parse(target)
            secure_enough = uri.scheme == "sips" or (uri.scheme, source.scheme) == ("sip", "sip")
            if secure_enough and _name(target) not in self._seen and self._may_follow(source, uri):
                self._seen.add(_name(target))
                fresh.append(target)
        self._followed += bool(fresh)
        return fresh


def _name(target: str) -> str:
    return str(Uri.parse(target)).lower()

"""Where a far side may send a call of ours (REFER received), trunk by trunk.

Asked by reception.py; telephony/moves.py goes there. Whoever may send us anywhere can let us dial premium
numbers, or strangers: nothing is dialled that the plan's author or the trunk's `allowed` did not name, and no host
but the trunk's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from contextlib import suppress

from offhook.access_settings import TrunkSettings
from offhook.switch.trunks import way_out
from telephony.call.referred import Detour, plain_uri
from telephony.errors import NotAllowed, SipSyntaxError
from telephony.sip.headers import ReferTo
from telephony.sip.uri import Uri, split_host_port
from telephony.trunk.outbound import dialling, require_allowed

DECLINED = 603
FORBIDDEN = 403


def detour(
    trunk: TrunkSettings | None,
    peer: str,
    to: ReferTo,
    written: Collection[str],
    answered_here: Callable[[str], bool],
) -> Detour | int:
    """The way to go, or the SIP status that refuses it.

    trunk: of the call, None for a stranger. peer: the address that the call comes from. written: targets in the
    plan's `transfer_to`. answered_here: the plan names exactly this number."""
    if trunk is None or trunk.refer == "refuse":
        return DECLINED
    target = plain_uri(to)
    if any(_same(target, place) for place in written):
        return Detour(target)
    uri = Uri.parse(target)
    way = way_out(trunk)
    try:
        if uri.number not in written and not answered_here(uri.number):
            require_allowed(way, target)
        if _belongs(uri.host, trunk, peer):
            to_proxy = bool(trunk.host) and uri.host.lower() == way.host.lower()
            return Detour(target, credentials=way.credentials if to_proxy else None)
        if not trunk.host:
            return FORBIDDEN
        out = dialling(way, uri.number)
    except NotAllowed:
        return FORBIDDEN
    return Detour(out.target, out.caller, out.headers, out.credentials)


def _same(target: str, place: str) -> bool:
    """The plan's author wrote this very target."""
    with suppress(SipSyntaxError):
        return Uri.parse(target).same_as(Uri.parse(place))
    return False  # a bare number


def _belongs(host: str, trunk: TrunkSettings, peer: str) -> bool:
    """The host is the trunk's: its proxy, one of its networks, or where the call comes from."""
    if not host:
        return False
    proxies = [split_host_port(place)[0].lower() for place in trunk.host]
    if host.lower() in (peer.lower(), *proxies):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return any(address in ipaddress.ip_network(network) for network in trunk.allow_from)
    return False

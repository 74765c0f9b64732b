"""Where sound goes, as numbers: a media plan may name a host (RFC 8866 §5.7), a clock may not ask DNS."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import replace

from telephony.errors import MediaError
from telephony.sdp.plan import MediaPlan

LOOKUP_TIMEOUT_S = 3.0


def is_numeric(plan: MediaPlan) -> bool:
    """Is the far side given by address? Then a stream may send there at once."""
    try:
        ipaddress.ip_address(plan.remote[0])
    except ValueError:
        return False
    return True


async def looked_up(plan: MediaPlan) -> MediaPlan:
    """The same plan with the far side's address instead of its name. Raises MediaError if there is none."""
    host, port = plan.remote
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        fact = f"media address {host!r} cannot be looked up ({error or 'no answer'})."
        raise MediaError(f"{fact} Ask the far side for a numeric c= line.") from error
    address = found[0][4]
    return replace(plan, remote=(str(address[0]), int(address[1])))

"""The priority that packets ask routers for: the DSCP bits of a socket (RFC 2474, RFC 4594).

Not queues and not policy: networks honour it or do not. Used by media/ports.py and the trunk's sockets.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final, Protocol

EXPEDITED: Final = 46  # EF, for sound (RFC 4594 §4.1)
SIGNALLING: Final = 24  # CS3, for SIP; RFC 4594 §4.2 has CS5, networks in practice CS3


class Markable(Protocol):
    """A socket, or what an event loop shows of one."""

    @property
    def family(self) -> int: ...
    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def mark(sock: Markable, dscp: int) -> None:
    """Mark what leaves this socket. dscp: 0 to 63. Where that is forbidden packets go out unmarked.

    An IPv6 socket may carry IPv4 as well, so it gets both."""
    tos = dscp << 2
    if sock.family == socket.AF_INET6:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)

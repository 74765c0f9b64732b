"""RTP port pairs: even port for RTP, the next one for RTCP (RFC 3550 §11), lent to one call at a time.

Imports neither numpy nor asyncio: the switch owns these sockets and passes their descriptors to a worker.
Not the media itself (stream.py). Driven by the switch, and by the softphone for its own side.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from types import TracebackType

from telephony.dscp import EXPEDITED, mark
from telephony.errors import Overloaded, TransportError

RECEIVE_BUFFER_BYTES = 256 * 1024  # about 5 s of G.711: what a restarting worker may leave unread

_TRY_NEXT = {errno.EADDRINUSE, errno.EACCES}
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class PortPair:
    """Two bound, non-blocking UDP sockets. Closing gives the port back; a second close does nothing."""

    def __init__(self, rtp: socket.socket, rtcp: socket.socket, on_close: Callable[[int], None]) -> None:
        self.rtp = rtp
        self.rtcp = rtcp
        self.port: int = rtp.getsockname()[1]
        self._on_close: Callable[[int], None] | None = on_close

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()
        if (on_close := self._on_close) is not None:
            self._on_close = None
            on_close(self.port)

    def __enter__(self) -> PortPair:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PortPair {self.port}/{self.port + 1}>"


class PortPool:
    """The RTP ports of one local address, lent in turn.

    A port that comes back rests and goes to the end of the line, so packets still in flight for the old call
    meet a closed port rather than the next caller."""

    def __init__(
        self,
        host: str,
        first: int = 16384,
        last: int = 32766,
        *,
        dscp: int = EXPEDITED,
        rest_s: float = 0.0,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """host: local address to bind, IPv4 or IPv6. first, last: the range of RTP ports, both included;
        odd ports are left out, RTCP uses the port above. dscp: what packets are marked with, 0 to 63. rest_s: how
        long a port that comes back is lent to nobody, by this clock (loop time, s)."""
        self.host = host
        self._dscp = dscp
        self.first = first + first % 2
        self.last = min(last, 65534)
        self._free: deque[int] = deque(range(self.first, self.last + 1, 2))
        if self.first < 1 or not self._free:
            raise TransportError(
                f"RTP ports {first}-{last}: no even port in this range. Give at least two ports per call."
            )
        self._size = len(self._free)
        self._rest_s, self._clock = rest_s, clock
        self._resting: deque[tuple[float, int]] = deque()  # until when, port

    @property
    def lent(self) -> int:
        """Pairs out with calls."""
        return self._size - self.free

    @property
    def free(self) -> int:
        """Pairs still here, those that rest included; some other program may hold a few of them."""
        return len(self._free) + len(self._resting)

    def lend(self) -> PortPair:
        """A bound pair. Ports held by another program are passed over.

        Raises Overloaded if none is left, TransportError if the host is not ours to bind."""
        while self._resting and self._resting[0][0] <= self._clock():
            self._free.append(self._resting.popleft()[1])
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                pair = PortPair(*_bind_pair(self.host, port, self._dscp), self._came_back)
            except OSError as error:
                self._free.append(port)
                if error.errno not in _TRY_NEXT:
                    raise self._refused(error, port) from error
            else:
                return pair
        raise Overloaded(
            f"RTP ports {self.first}-{self.last} on {self.host}: all {self._size} pairs are taken, "
            f"{self.lent} by calls, {len(self._resting)} rest after one. Widen the range or lower the call limit."
        )

    def adopt(self, rtp: socket.socket, rtcp: socket.socket) -> PortPair:
        """A pair that a process before this one lent to a call; both are bound."""
        pair = PortPair(rtp, rtcp, self._came_back)
        if pair.port in self._free:
            self._free.remove(pair.port)
        else:  # the range was another one then
            self._size += 1
        return pair

    def _came_back(self, port: int) -> None:
        self._resting.append((self._clock() + self._rest_s, port))

    def _refused(self, error: OSError, port: int) -> Overloaded | TransportError:
        if error.errno in _NO_DESCRIPTORS:
            return Overloaded(
                f"RTP port {port} on {self.host}: {error.strerror} with {self.lent} calls up. "
                "Raise the open-files limit (ulimit -n): a call takes two here and two in its worker."
            )
        return TransportError(
            f"RTP port {port} on {self.host}: {error.strerror}. Bind an address of this machine."
        )


def _bind_pair(host: str, port: int, dscp: int) -> tuple[socket.socket, socket.socket]:
    rtp = _bind(host, port, dscp)
    try:
        return rtp, _bind(host, port + 1, dscp)
    except OSError:
        rtp.close()
        raise


def _bind(host: str, port: int, dscp: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        mark(sock, dscp)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock

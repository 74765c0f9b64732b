"""What can go wrong with a phone call, and who is to blame. Every message names place, fact and remedy."""

from __future__ import annotations


class TelephonyError(Exception):
    """Base of everything this package raises on purpose. code: the SIP status that tells the peer, 0 if none."""

    code = 0

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class PeerError(TelephonyError):
    """The other side sent something wrong: a malformed message, an impossible offer. Its call suffers, no other."""

    code = 400


class SipSyntaxError(PeerError):
    """A SIP message or one of its headers cannot be read (RFC 3261 §25)."""


class SdpError(PeerError):
    """A session description cannot be read (RFC 8866) or cannot be answered (RFC 3264)."""

    code = 488


class MediaError(PeerError):
    """An RTP packet, payload or digit string cannot be used. The packet is dropped and counted."""


class CallFailed(TelephonyError):
    """An outgoing call was not answered. code and reason are the far side's."""

    code = 480


class OutOfOrder(TelephonyError):
    """Our own mistake: an event that this state of the call does not allow (`call/state.py`)."""

    code = 500


class PlanError(TelephonyError):
    """The dial plan or configuration is wrong; the message carries file, line, fact and remedy."""

    code = 500


class NoSuchNumber(TelephonyError):
    """The dial plan has no route for the number that was called."""

    code = 404


class SentElsewhere(TelephonyError):
    """The dial plan sends callers of this number to other URIs (`redirect:`), best first."""

    code = 302

    def __init__(self, message: str, targets: tuple[str, ...]) -> None:
        super().__init__(message)
        self.targets = targets


class Overloaded(TelephonyError):
    """No worker, port or permit is free. The peer is told when to come back."""

    code = 503


class TransportError(TelephonyError):
    """A socket cannot be bound or written."""

    code = 503


class NotAllowed(TelephonyError):
    """The trunk may not be used to dial this number (`allowed:` in the settings)."""

    code = 403

"""SRTP and SRTCP: what makes a call unreadable on its way, and a packet provably the caller's (RFC 3711).

The ciphers are libsrtp's, through pylibsrtp. Not how keys are agreed on (sdp/crypto.py). Driven by stream.py, one
call a packet. Bytes in, bytes out: no socket, no clock.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from pylibsrtp import Error, Policy, Session

from telephony.errors import MediaError
from telephony.sdp.crypto import key_bytes
from telephony.sdp.plan import Srtp

PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
# What follows the key's name (MKI) at the end of an RTP and of an RTCP packet: the tag, and nothing for GCM, whose
# tag stands before it (RFC 3711 §3.1, §3.4; RFC 7714 §8.2, §9.2). 32-bit tags are for RTP only (RFC 4568 §6.2.2).
_AFTER_MKI: Final = {"AES_CM_128_HMAC_SHA1_80": (10, 10), "AES_CM_128_HMAC_SHA1_32": (4, 10)}
_RTP = Struct("!BBHII")
_RTCP = Struct("!BBHI")
_STEP = 0x7000  # sequence numbers: further ahead libsrtp would take it for a step back
_WINDOW = 128  # packets that libsrtp tells a replay of
_REPLAY = "replay"  # how libsrtp's words begin for a packet that was here already


class Place(NamedTuple):
    """Where the two directions of a call stand.

    ours, theirs: SSRC and the index of the next packet of ours and of the newest of theirs (RFC 3711 §3.3.1: wraps ×
    65536 + sequence number); None if none has come. reports: SRTCP packets that were sent."""

    ours: tuple[int, int]
    theirs: tuple[int, int] | None
    reports: int


class Guard:
    """Both directions of one call. Counters are public and only grow.

    Sources may follow each other (any SSRC). After a change of their key the old one is taken until the new one
    was heard: packets that were on their way are not lost."""

    def __init__(self, srtp: Srtp) -> None:
        """Raises MediaError for a suite or key that libsrtp does not take."""
        self.unauthenticated = 0  # altered, forged, not encrypted, or under another key
        self.replayed = 0  # here already, or too old to tell
        self._srtp = srtp
        self._out = _session(srtp.suite, srtp.send_key, Policy.SSRC_ANY_OUTBOUND)
        self._in = _Incoming(srtp)
        self._others: list[_Incoming] = []  # that may still, or instead, be theirs after a change of key

    def update(self, srtp: Srtp, place: Place | None = None) -> None:
        """A new description. A key that stays keeps its place, and so does a new one: how often the sequence numbers
        have wrapped is on no packet, and a fresh context would not know. place: where both directions stand; None if
        an address has changed: then they begin anew (RFC 3711 §3.3.1, RFC 4568 §7.1.4). Not all who change their key
        keep to that, so what comes is taken either way. Raises MediaError as the first one."""
        before = self._srtp
        if (srtp.suite, srtp.send_key) != (before.suite, before.send_key):
            self._out = _session(srtp.suite, srtp.send_key, Policy.SSRC_ANY_OUTBOUND)
            if place is not None:
                self._walk_out(place)
        if _theirs(srtp) != _theirs(before):
            self._others, self._in = [self._in], _Incoming(srtp)
            if place is not None and place.theirs is not None and place.theirs[1] > 0xFFFF:
                self._others.append(self._in)
                self._in = _Incoming(srtp)
                self._in.walk(*place.theirs)
        self._srtp = srtp

    def go_on(self, place: Place) -> None:
        """Take up where the guard of a worker that died has left off. libsrtp cannot be told where that is, but it
        learns it as from packets: it is walked there by packets that we make ourselves, for we have both keys."""
        self._walk_out(place)
        if place.theirs is not None:
            ssrc, newest = place.theirs
            self._in.walk(ssrc, newest + 1)

    def _walk_out(self, place: Place) -> None:
        walk(self._out, *place.ours)
        for _ in range(place.reports):
            self._out.protect_rtcp(_report(place.ours[0]))

    def protect(self, packet: bytes, *, rtcp: bool = False) -> bytes:
        """One packet, encrypted and signed. Raises MediaError if it cannot be."""
        try:
            return self._out.protect_rtcp(packet) if rtcp else self._out.protect(packet)
        except (Error, ValueError) as error:
            raise MediaError(
                f"packet of {len(packet)} bytes cannot be encrypted: {error}. Not sent."
            ) from error

    def unprotect(self, packet: bytes, *, rtcp: bool = False) -> bytes | None:
        """What they sent; None, and counted, if nobody with the key has sent it just now."""
        try:
            clear = self._in.open(packet, rtcp)
        except (Error, ValueError) as error:
            return self._opened_late(packet, rtcp, str(error))
        self._others.clear()
        return clear

    def _opened_late(self, packet: bytes, rtcp: bool, problem: str) -> bytes | None:
        for other in self._others:
            try:
                clear = other.open(packet, rtcp)
            except (Error, ValueError):
                continue
            if other.is_for(self._srtp):  # they begin anew
                self._in, self._others = other, []
            return clear
        if problem.startswith(_REPLAY):
            self.replayed += 1
        else:
            self.unauthenticated += 1
        return None


class Outgoing:
    """Our direction only, from some place on: for whoever sends a few packets while a stream's guard is out of reach.

    Nothing may be sent twice under one index: the guard has to go on behind, and does, as its numbers say where."""

    def __init__(self, srtp: Srtp, ssrc: int, index: int) -> None:
        """index: of the next packet, wraps × 65536 + sequence number. Raises MediaError as Guard does."""
        self._key, self._ssrc, self._next = (srtp.suite, srtp.send_key), ssrc, index
        self._session = _session(srtp.suite, srtp.send_key, Policy.SSRC_ANY_OUTBOUND)
        walk(self._session, ssrc, index)

    def follows(self, srtp: Srtp, ssrc: int, index: int) -> bool:
        """Can it go on with a packet of that index? libsrtp finds its way over gaps that are not too wide."""
        mine = (srtp.suite, srtp.send_key) == self._key and ssrc == self._ssrc
        return mine and 0 <= index - self._next < _STEP

    def protect(self, packet: bytes) -> bytes:
        """One packet, encrypted and signed. Raises MediaError if it cannot be."""
        self._next += 1
        try:
            return self._session.protect(packet)
        except (Error, ValueError) as error:
            raise MediaError(
                f"packet of {len(packet)} bytes cannot be encrypted: {error}. Not sent."
            ) from error


class _Incoming:
    """Their packets under one key."""

    def __init__(self, srtp: Srtp) -> None:
        self._session = _session(srtp.suite, srtp.receive_key, Policy.SSRC_ANY_INBOUND)
        self._srtp = srtp
        self._mki_bytes = srtp.receive_mki_bytes
        self._after_mki = _AFTER_MKI.get(srtp.suite, (0, 0))

    def is_for(self, srtp: Srtp) -> bool:
        """Is this the key of that description?"""
        return _theirs(self._srtp) == _theirs(srtp)

    def walk(self, ssrc: int, index: int) -> None:
        """Believe to have heard them up to this index."""
        sender = _session(self._srtp.suite, self._srtp.receive_key, Policy.SSRC_ANY_OUTBOUND)
        for packet in walk(sender, ssrc, max(0, index - _WINDOW)):
            self._session.unprotect(packet)
        for at in range(max(0, index - _WINDOW), index):  # what was heard may not be heard again
            self._session.unprotect(sender.protect(_packet(ssrc, at & 0xFFFF)))

    def open(self, packet: bytes, rtcp: bool) -> bytes:
        """Raises Error or ValueError."""
        if self._mki_bytes:
            after = len(packet) - self._after_mki[rtcp]
            packet = packet[: max(0, after - self._mki_bytes)] + packet[max(0, after) :]
        return self._session.unprotect_rtcp(packet) if rtcp else self._session.unprotect(packet)


def walk(session: Session, ssrc: int, index: int) -> list[bytes]:
    """Let a sending session believe it has sent everything below this index; returns the packets it made."""
    steps = range(0, index, _STEP)
    return [session.protect(_packet(ssrc, at & 0xFFFF)) for at in (*steps, index - 1) if at >= 0]


def _packet(ssrc: int, sequence: int) -> bytes:
    return _RTP.pack(0x80, 0, sequence, 0, ssrc)


def _report(ssrc: int) -> bytes:
    return _RTCP.pack(0x80, 201, 1, ssrc)  # an empty receiver report (RFC 3550 §6.4.2)


def renewed(guard: Guard | None, srtp: Srtp | None, place: Place | None = None) -> Guard | None:
    """The guard for a new description; None for plain RTP. place: see Guard.update. Raises MediaError as Guard does."""
    if guard is None or srtp is None:
        return Guard(srtp) if srtp else None
    guard.update(srtp, place)
    return guard


def _theirs(srtp: Srtp) -> tuple[str, str, int]:
    return srtp.suite, srtp.receive_key, srtp.receive_mki_bytes


def _session(suite: str, key: str, sources: int) -> Session:
    try:
        policy = Policy(key=key_bytes(key), ssrc_type=sources, srtp_profile=PROFILES[suite])
        return Session(policy)
    except (KeyError, Error, ValueError) as error:  # the error of a wrong key tells lengths only
        raise MediaError(f"SRTP suite {suite[:40]!r} cannot be used: {error}.") from error

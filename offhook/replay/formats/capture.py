"""Calls out of a packet capture: SIP says who phoned whom and where the sound goes, RTP is the sound.

The file is read twice: once for SIP, once for RTP, so that memory holds only decoded sound. Packets without any SIP
are paired by their addresses. Files and links are packets.py's, dialogs signalling.py's, sound rtp.py's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

from offhook.bundle import iso
from offhook.errors import RecordingError
from offhook.replay.formats.material import KeyPress, Material
from offhook.replay.formats.packets import UDP, Address, Datagram, Packets
from offhook.replay.formats.packets import is_capture as is_capture
from offhook.replay.formats.rtp import Track, rate_of
from offhook.replay.formats.signalling import CALLEE, CALLER, Call, End, Signalling
from telephony.errors import MediaError
from telephony.media.packet import kind_of, parse
from telephony.media.presses import Presses
from telephony.sdp.description import Media

EARLY_S = 0.5  # sound may be captured so much before the answer that it follows
LATE_S = 1.0  # and so much after the BYE
TAIL_S = 2.0  # of silence are kept between the last packet and the BYE
LEAST_PACKETS = 25  # half a second: what is shorter is no stream
MOST_FLOWS = 10_000
OTHER = {CALLER: CALLEE, CALLEE: CALLER}

_Flow = tuple[Address, Address]


def read(file: BinaryIO, place: str) -> list[Material]:
    """Every call with sound, in the order they began. Raises RecordingError if there is none."""
    packets = Packets(file, place)
    signalling, flows = Signalling(), dict[_Flow, _Stream]()
    for one in packets:
        signalling.datagram(one)
        if one.protocol == UDP and kind_of(one.payload, len(one.payload)) == "rtp":
            _count(flows, one)
    calls = [call for call in signalling.calls.values() if call.ends]
    guessed = not calls
    if guessed:
        calls = _paired({flow: stream for flow, stream in flows.items() if stream.packets >= LEAST_PACKETS})
    shared = [packets.damage] * bool(packets.damage)
    shared += [f"{signalling.unread} damaged SIP messages were left out"] * bool(signalling.unread)
    if guessed and calls:
        shared.append(
            "no SIP in the capture: streams were paired by their addresses, who phoned is not known"
        )
    desk = _Desk(calls)
    for one in packets:
        if one.protocol == UDP and kind_of(one.payload, len(one.payload)) == "rtp":
            desk.packet(one)
    found = [material for call in calls if (material := desk.finish(call, shared, guessed)) is not None]
    if not found:
        unopened = sum(desk.unopened(call) for call in calls)
        raise RecordingError(f"{place}: {_nothing(signalling, flows, packets, unopened)}")
    return found


class _Desk:
    """Knows of each packet whose sound it is."""

    def __init__(self, calls: list[Call]) -> None:
        self._ends: dict[Address, list[tuple[float, Call, str]]] = {}
        self._tracks: dict[str, _Tracks] = {}
        for call in calls:
            for end in call.ends:
                self._ends.setdefault(end.address, []).append((end.at, call, end.side))

    def packet(self, one: Datagram) -> None:
        found = self._whose(one.target, one.at)
        if found is not None:
            call, talker = found[0], OTHER[found[1]]
            if self._whose(one.source, one.at) is None:  # behind NAT: not the address they told of
                self._ends.setdefault(one.source, []).append((one.at, call, talker))
        elif (sent := self._whose(one.source, one.at)) is not None:
            call, talker = sent
        else:
            return
        tracks = self._tracks.get(call.id)
        if tracks is None:
            tracks = self._tracks[call.id] = _Tracks(call, call.answered or one.at)
        tracks.packet(one, talker)

    def finish(self, call: Call, shared: list[str], guessed: bool) -> Material | None:
        """The call's sound and facts; None if no sound was captured."""
        tracks = self._tracks.get(call.id)
        return tracks.material(shared, guessed) if tracks is not None else None

    def unopened(self, call: Call) -> int:
        """Encrypted packets of the call for which there is no key."""
        tracks = self._tracks.get(call.id)
        return tracks.unopened if tracks is not None else 0

    def _whose(self, address: Address, at: float) -> tuple[Call, str] | None:
        """The call and side that listens at this address now; of several the newest."""
        best: tuple[float, Call, str] | None = None
        for began, call, side in self._ends.get(address, ()):
            over = call.ended is not None and at > call.ended + LATE_S
            if began - EARLY_S <= at and not over and (best is None or began >= best[0]):
                best = (began, call, side)
        return (best[1], best[2]) if best is not None else None


class _Tracks:
    """Both sides of one call while its packets pass by."""

    def __init__(self, call: Call, begins: float) -> None:
        self._call, self._begins = call, begins
        self.rate_hz = rate_of(call.ends)
        self._sides: dict[str, Track] = {}
        self._seen = 0  # offers and answers that the tracks know
        self._holds: list[tuple[float, str]] = []

    @property
    def unopened(self) -> int:
        return sum(track.unopened for track in self._sides.values())

    def packet(self, one: Datagram, talker: str) -> None:
        self._follow(one.at)
        track = self._sides.get(talker)
        if track is None:
            listens = self._end(OTHER[talker], one.at) or self._end(talker, one.at)
            if listens is None:
                return
            talks = self._end(talker, one.at)
            track = Track(self._begins, listens, talks, self.rate_hz, mute_tones=talker == CALLER)
            self._sides[talker] = track
        track.packet(one.at, one.source, one.payload)

    def material(self, shared: list[str], guessed: bool) -> Material | None:
        call = self._call
        last = max((track.last for track in self._sides.values()), default=self._begins)
        until = min(call.ended, last + TAIL_S) if call.ended else last
        if not any(track.packets for track in self._sides.values()) or until <= self._begins:
            return None
        notes, channels = list(shared), []
        for side in (CALLER, CALLEE):
            track = self._sides.get(side)
            notes += track.notes(side) if track else [f"{side}: no sound was captured"]
            if track is None:
                end = call.ends[0]
                track = Track(self._begins, end, None, self.rate_hz, mute_tones=False)
            channels.append(track.finish(until))
        if call.answered is None and not guessed:
            notes.append("the answer was not captured: the recording begins with the first sound")
        notes += [f"the {side} {what}" for what, side in _holds(call, self._begins)]
        sides = ("", "") if guessed else ("caller", "agent")
        return Material(
            self.rate_hz, channels, sides, self._keys(), facts=_facts(call, self._begins), notes=notes
        )

    def _keys(self) -> list[KeyPress]:
        """The caller's digits; those by SIP INFO and by RTP may be the same press."""
        track, presses = self._sides.get(CALLER), Presses()
        told = [(at - self._begins, digit, "info") for at, side, digit in self._call.keys if side == CALLER]
        heard = [(key.at_s, key.digit, "event") for key in track.keys] if track else []
        return [
            KeyPress(round(max(0.0, at), 3), digit)
            for at, digit, way in sorted(told + heard)
            if presses.counts(digit, "info" if way == "info" else "event", at)
        ]

    def _end(self, side: str, at: float) -> End | None:
        """What that side wished last."""
        known = [end for end in self._call.ends if end.side == side and end.at <= at + EARLY_S]
        return known[-1] if known else None

    def _follow(self, at: float) -> None:
        """Offers and answers that have come since the last packet."""
        ends = self._call.ends
        changed = False
        while self._seen < len(ends) and ends[self._seen].at <= at:
            self._seen += 1
            changed = True
        if changed:
            for side, track in self._sides.items():
                track.advance(at)
                if (listens := self._end(OTHER[side], at)) is not None:
                    track.wishes(listens, self._end(side, at))


@dataclass(slots=True)
class _Stream:
    """RTP from one address to another."""

    began: float
    packets: int = 0
    types: Counter[int] = field(default_factory=Counter)


def _count(flows: dict[_Flow, _Stream], one: Datagram) -> None:
    flow = (one.source, one.target)
    if flow not in flows and len(flows) >= MOST_FLOWS:
        return
    try:
        header = parse(one.payload, len(one.payload))
    except MediaError:
        return
    stream = flows.setdefault(flow, _Stream(one.at))
    stream.packets += 1
    stream.types[header.payload_type] += 1


def _paired(flows: dict[_Flow, _Stream]) -> list[Call]:
    """Calls made of streams that answer each other, or of one that nobody answers."""
    calls, done = [], set[_Flow]()
    for flow, stream in flows.items():
        back = (flow[1], flow[0])
        if flow in done:
            continue
        done |= {flow, back}
        answering = flows.get(back)
        call = Call(f"{flow[0][0]}:{flow[0][1]}", stream.began, "", "", "", {}, "")
        call.ends.append(_end(CALLEE, flow[1], stream))
        call.ends.append(_end(CALLER, flow[0], answering or stream))
        calls.append(call)
    return calls


def _end(side: str, address: Address, stream: _Stream) -> End:
    """As if an SDP had said what the payload types of RFC 3551 mean, and 101 what most mean by it."""
    types = [pt for pt, _ in stream.types.most_common() if pt in (0, 8, 9)] or [0]
    media = Media("audio", address[1], "RTP/AVP", [str(pt) for pt in [*types, 101]])
    media.attributes.append(("rtpmap", "101 telephone-event/8000"))
    return End(stream.began, side, address, media, holds=False)


def _facts(call: Call, begins: float) -> dict[str, object]:
    try:
        started = iso(datetime.fromtimestamp(begins, UTC))
    except (ValueError, OverflowError, OSError):
        started = ""
    return {
        "caller": call.caller,
        "caller_name": call.caller_name,
        "called": call.called,
        "headers": call.headers,
        "sip_call_id": call.id,
        "started": started,
        "direction": "inbound",
    }


def _holds(call: Call, begins: float) -> list[tuple[str, str]]:
    """When who kept whom on hold, in words."""
    found, held = [], {CALLER: False, CALLEE: False}
    for end in call.ends:
        if end.holds != held[end.side]:
            held[end.side] = end.holds
            what = "holds the call from" if end.holds else "is back at"
            found.append((f"{what} {max(0.0, end.at - begins):.1f} s", end.side))
    return found


def _nothing(signalling: Signalling, flows: dict[_Flow, _Stream], packets: Packets, unopened: int) -> str:
    """Why there is no call in the capture. unopened: packets without a key."""
    calls = list(signalling.calls.values())
    tail = f" ({packets.damage})" if packets.damage else ""
    if refused := [call.refused for call in calls if call.refused]:
        return f"no sound: the call was refused with {refused[0]}{tail}. Capture one that was answered."
    if unopened:
        return (
            f"{unopened} packets of SRTP, and no key in the capture that opens them{tail}. Capture SIP before TLS, "
            "with its a=crypto lines (SDES); keys of DTLS are on no wire. Or use the call's own recording."
        )
    if calls:
        return f"SIP of {len(calls)} calls, but none of their RTP{tail}. Capture the media ports too."
    if flows:
        return f"RTP, but no stream of {LEAST_PACKETS} packets{tail}. Capture the whole call."
    return f"neither SIP nor RTP in it{tail}. Capture on the interface of the phones, before TLS."

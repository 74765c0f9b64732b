"""Offer and answer (RFC 3264): from our wish and their description to our description and the media plan.

Pure. Not the syntax (description.py) and no state: session id, version and port come from the call that keeps
them. Refuses with SdpError 488 if no stream fits; after a re-INVITE the old session then goes on (§8)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from telephony.errors import SdpError
from telephony.sdp.crypto import PLAIN, SECURE, Crypto, SrtpPolicy, agreed, choose, offered
from telephony.sdp.description import Media, Origin, RtpMap, Sdp
from telephony.sdp.plan import Direction, MediaPlan, Srtp

_TAKEN = {  # by policy, for the caller's trace
    "off": "RTP/AVP",
    "optional": "RTP/AVP or, with a usable a=crypto, RTP/SAVP",
    "required": "RTP/SAVP with a usable a=crypto",
}
EVENTS = "0-16"  # telephone-event: digits and flash (RFC 4733 §3.2)
DTMF_PTS = {8000: 101, 48000: 110}  # what we propose, by clock; theirs may differ
LONGEST_MS = 60  # of the packets we send

_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_OLD_HOLD = frozenset({"0.0.0.0", "::"})  # RFC 3264 §8.4: do not send to me


@dataclass(frozen=True, slots=True)
class Codec:
    """What we can encode and decode. rate_hz: of the PCM; clock_hz: of RTP; pt: the type we propose.

    channels and fmtp: as its rtpmap and fmtp lines say. packets_ms: lengths that one packet can have."""

    name: str
    clock_hz: int
    rate_hz: int
    pt: int
    channels: int = 1
    fmtp: str = ""
    packets_ms: tuple[int, ...] = (10, 20, 30, 40, 50, 60)

    @property
    def meaning(self) -> RtpMap:
        """Its rtpmap."""
        return RtpMap(self.name, self.clock_hz, self.channels)


# RFC 7587 §7: two channels whatever is sent; the fmtp says that more than wideband would be wasted on us.
_OPUS = Codec(
    "OPUS", 48000, 16000, 111, 2, "maxplaybackrate=16000;sprop-maxcapturerate=16000", (10, 20, 40, 60)
)
CODECS = {
    codec.name: codec
    for codec in (
        Codec("PCMU", 8000, 8000, 0),
        Codec("PCMA", 8000, 8000, 8),
        Codec("G722", 8000, 16000, 9),  # the clock: RFC 3551 §4.5.2
        _OPUS,
    )
}


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our side of one call: where we listen and what we speak.

    codecs: names from CODECS in order of preference. session_id and version: of o=; the version grows by
    one only when our description changes (see `numbered`). prefer_ours: our codec order beats the offer's.

    srtp: `off` takes and offers plain RTP only. `optional` answers in kind, and offers both: RTP/AVP with keys (RFC
    8643). `required` takes no call without keys, and offers RTP/SAVP. keys: ours by suite (crypto.draw_keys), which
    the call keeps; not needed for `off`."""

    address: str
    port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    session_id: int = 0
    version: int = 0
    dtmf: bool = True
    ptime_ms: int = 20
    prefer_ours: bool = False
    srtp: SrtpPolicy = "off"
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


def offer(
    local: LocalMedia, *, hold: bool = False, previous: Sdp | None = None, standing: MediaPlan | None = None
) -> Sdp:
    """What we propose: all our codecs and telephone-event. hold: we send music, they wait (RFC 3264 §8.4).

    previous: our last description of this call. Its streams keep their places, refused ones stay refused, and
    payload types keep their meaning (§8, §8.3.2). standing: the plan in force; what it has of keys, or that it has
    none, is offered again."""
    lines = previous.media if previous else []
    at = next((spot for spot, media in enumerate(lines) if media.kind == "audio" and media.port), len(lines))
    agreed = lines[at].payloads if at < len(lines) else {}
    codecs = [CODECS[name] for name in local.codecs]
    wanted = [(codec.meaning, codec.pt) for codec in codecs]
    if local.dtmf:  # one a clock (RFC 4733 §7.1)
        clocks = dict.fromkeys(codec.clock_hz for codec in codecs)
        wanted += [(RtpMap("TELEPHONE-EVENT", clock_hz), DTMF_PTS[clock_hz]) for clock_hz in clocks]
    payloads: dict[int, RtpMap] = {}
    for meaning, pt in wanted:
        payloads[_kept(agreed, payloads, meaning, pt)] = meaning
    protocol, cryptos = _protection(local, lines[at] if at < len(lines) else None, standing)
    media = _stream(local, protocol, payloads, local.ptime_ms, "sendonly" if hold else "sendrecv", cryptos)
    streams = [*map(_refused, lines[:at]), media, *map(_refused, lines[at + 1 :])]
    return _session(local, streams, ["0 0"])


def answer(local: LocalMedia, offer: Sdp, *, hold: bool = False) -> tuple[Sdp, MediaPlan]:
    """Take the first audio stream that fits, refuse the rest with port 0, keep their order (RFC 3264 §6).

    One codec is answered, on their payload type; every offered codec that we know may still arrive.
    An offer whose streams are all off (port 0) is a call without media: plan direction "inactive".
    Raises SdpError: 488 if nothing fits, 400 if the address to send to is missing or unreadable."""
    for at, theirs in enumerate(offer.media):
        if theirs.kind != "audio" or not theirs.port or not _codecs(local, theirs):
            continue
        chosen = choose(theirs.cryptos, local.keys) if local.srtp != "off" else None
        if _fits(local, theirs, secured=chosen is not None):
            ours, plan = _answer_stream(local, offer, theirs, hold, chosen)
            streams = [ours if spot == at else _refused(media) for spot, media in enumerate(offer.media)]
            return _session(local, streams, offer.times), plan
    if offer.media and not any(media.port for media in offer.media):
        codec = CODECS[local.codecs[0]]
        return _session(local, [_refused(media) for media in offer.media], offer.times), _silent(codec)
    said = (
        ", ".join(f"{m.kind} {m.protocol} {' '.join(m.formats)}"[:60] for m in offer.media[:4]) or "nothing"
    )
    raise SdpError(
        f"offered {said}; we take audio over {_TAKEN[local.srtp]} in {'/'.join(local.codecs)}. Offer one of them."
    )


def accept(local: LocalMedia, offer: Sdp, answer: Sdp) -> MediaPlan:
    """What our offer came to. The first codec of the answer that we offered is sent, on their payload type.

    Raises SdpError: 488 if they refused audio or answered what we did not offer, 400 as `answer` does."""
    at, ours = next(
        (at, media) for at, media in enumerate(offer.media) if media.kind == "audio" and media.port
    )
    audio = [media for media in answer.media[at : at + 1] or answer.media if media.kind == "audio"]
    if not audio or not audio[0].port:
        raise SdpError("the answer refuses our audio stream. End the call, or keep the old session.")
    theirs = audio[0]
    meant = {
        **{pt: known for pt, known in ours.payloads.items() if str(pt) in theirs.formats},
        **theirs.payloads,
    }
    found = [(pt, codec) for pt in _listed(theirs, meant) if (codec := _codec(local, meant[pt]))]
    if not found:
        formats = " ".join(theirs.formats)[:60]
        raise SdpError(f"answered {formats}; we offered {'/'.join(local.codecs)}. Answer one of them.")
    pt, codec = found[0]
    event_out = _event(meant, codec) if local.dtmf else None
    host = _target(answer, theirs)
    return MediaPlan(
        codec=codec.name,
        rate_hz=codec.rate_hz,
        clock_hz=codec.clock_hz,
        send_pt=pt,
        receive_pts=_receivable(_codecs(local, ours), codec),
        remote=(host, theirs.port),
        dtmf_send_pt=event_out,
        dtmf_receive_pt=None if event_out is None else _event(ours.payloads, codec),
        ptime_ms=_ptime(theirs, local.ptime_ms, codec),
        direction=_agree(_heard(answer, theirs, host), offer.direction_of(ours)),
        srtp=_accepted(ours, theirs),
    )


def numbered(ours: Sdp, previous: Sdp | None) -> Sdp:
    """Our next description with the right o= version: the previous one if nothing changed, else one more.

    The session id stays the call's (RFC 3264 §8; carriers compare it, RFC 4028 §7.4 relies on it)."""
    if previous is None or previous.origin is None or ours.origin is None:
        return ours
    same = replace(ours, origin=previous.origin)
    if same == previous:
        return same
    version = str(int(previous.origin.version) + 1)
    return replace(ours, origin=replace(previous.origin, version=version, host=ours.origin.host))


# ---- one stream


def _answer_stream(
    local: LocalMedia, offer: Sdp, theirs: Media, hold: bool, chosen: tuple[Crypto, Srtp] | None
) -> tuple[Media, MediaPlan]:
    known = _codecs(local, theirs)
    if local.prefer_ours:
        known.sort(key=lambda found: local.codecs.index(found[1].name))
    pt, codec = known[0]
    host = _target(offer, theirs)
    direction = _agree(_heard(offer, theirs, host), "sendonly" if hold else "sendrecv")
    event = _event(theirs.payloads, codec) if local.dtmf else None
    payloads = {pt: codec.meaning}
    if event is not None:
        payloads[event] = RtpMap("TELEPHONE-EVENT", codec.clock_hz)
    ptime_ms = _ptime(theirs, local.ptime_ms, codec)
    plan = MediaPlan(
        codec=codec.name,
        rate_hz=codec.rate_hz,
        clock_hz=codec.clock_hz,
        send_pt=pt,
        receive_pts=_receivable(known, codec),
        remote=(host, theirs.port),
        dtmf_send_pt=event,
        dtmf_receive_pt=event,
        ptime_ms=ptime_ms,
        direction=direction,
        srtp=chosen[1] if chosen else None,
    )
    cryptos = [chosen[0]] if chosen else []
    return _stream(local, theirs.protocol, payloads, ptime_ms, direction, cryptos), plan


def _stream(
    local: LocalMedia,
    protocol: str,
    payloads: dict[int, RtpMap],
    ptime_ms: int,
    direction: Direction,
    cryptos: list[Crypto],
) -> Media:
    attributes = [("rtpmap", f"{pt} {meaning}") for pt, meaning in payloads.items()]
    attributes += [("fmtp", f"{pt} {fmtp}") for pt, meaning in payloads.items() if (fmtp := _fmtp(meaning))]
    attributes += [("ptime", str(ptime_ms)), (direction, "")]
    attributes += [("crypto", str(line)) for line in cryptos]
    return Media("audio", local.port, protocol, [str(pt) for pt in payloads], attributes)


def _refused(theirs: Media) -> Media:
    """Port 0, and at least one format, because the grammar wants one (RFC 3264 §6)."""
    return Media(theirs.kind, 0, theirs.protocol, theirs.formats[:1] or ["0"])


def _session(local: LocalMedia, media: list[Media], times: list[str]) -> Sdp:
    origin = Origin(str(local.session_id), str(local.version), local.address)
    return Sdp(origin, local.address, media, times=times)


def _silent(codec: Codec) -> MediaPlan:
    off = ("0.0.0.0", 0)
    return MediaPlan(codec.name, codec.rate_hz, codec.clock_hz, codec.pt, {}, off, direction="inactive")


# ---- encryption


def _fits(local: LocalMedia, theirs: Media, *, secured: bool) -> bool:
    """May this stream be answered? secured: with keys that both sides can use."""
    protocol = theirs.protocol.upper()
    return protocol in PLAIN | SECURE if secured else protocol in PLAIN and local.srtp != "required"


def _protection(
    local: LocalMedia, last: Media | None, standing: MediaPlan | None
) -> tuple[str, list[Crypto]]:
    """Protocol and keys of our offer. last: this stream in our last description."""
    if standing is not None and standing.srtp is not None:
        return last.protocol if last else "RTP/SAVP", offered(local.keys, standing.srtp)
    if local.srtp == "required":
        return "RTP/SAVP", offered(local.keys, None)
    return "RTP/AVP", offered(local.keys, None) if local.srtp == "optional" and standing is None else []


def _accepted(ours: Media, theirs: Media) -> Srtp | None:
    """What their answer made of our keys. Raises SdpError where one side would encrypt and the other not."""
    secure = SECURE & {ours.protocol.upper(), theirs.protocol.upper()}
    if srtp := agreed(ours.cryptos, theirs.cryptos):
        return srtp
    if secure or (ours.cryptos and theirs.get("crypto") is not None):
        raise SdpError("answered SRTP without one of our a=crypto lines. Answer one, same tag and suite.")
    return None


# ---- codecs


def _codec(local: LocalMedia, meaning: RtpMap) -> Codec | None:
    codec = CODECS.get(meaning.name)
    fits = codec and codec.name in local.codecs and codec.clock_hz == meaning.clock_hz
    return codec if codec and fits and meaning.channels == codec.channels else None


def _codecs(local: LocalMedia, media: Media) -> list[tuple[int, Codec]]:
    """Payload types of that stream that we speak, in its order."""
    return [(pt, codec) for pt, meaning in media.payloads.items() if (codec := _codec(local, meaning))]


def _receivable(known: list[tuple[int, Codec]], sent: Codec) -> dict[int, str]:
    """What may arrive beside the codec we send: one stream has one clock (RFC 7160 §3)."""
    return {pt: codec.name for pt, codec in known if codec.clock_hz == sent.clock_hz}


def _fmtp(meaning: RtpMap) -> str:
    if meaning.name == "TELEPHONE-EVENT":
        return EVENTS
    return CODECS[meaning.name].fmtp


def _listed(media: Media, meant: dict[int, RtpMap]) -> list[int]:
    numbers = {str(pt): pt for pt in meant}
    return [numbers[text] for text in media.formats if text in numbers]


def _kept(agreed: dict[int, RtpMap], taken: dict[int, RtpMap], meaning: RtpMap, proposed: int) -> int:
    """The payload type that means this already, else the proposed one, else a free dynamic one."""
    kept = [pt for pt, meant in agreed.items() if meant == meaning]
    candidates: list[int] = [proposed, *range(96, 128)]
    return (kept or [pt for pt in candidates if pt not in agreed and pt not in taken])[0]


def _event(payloads: dict[int, RtpMap], codec: Codec) -> int | None:
    """The telephone-event type on the codec's clock: there may be one per clock (RFC 4733 §7.1)."""
    wanted = RtpMap("TELEPHONE-EVENT", codec.clock_hz)
    return next((pt for pt, meaning in payloads.items() if meaning == wanted), None)


def _ptime(theirs: Media, default_ms: int, codec: Codec) -> int:
    """Packet length we send: as they ask, within what both and the codec can."""
    wanted = min(theirs.ptime_ms or default_ms, theirs.maxptime_ms or LONGEST_MS)
    return max((length for length in codec.packets_ms if length <= wanted), default=codec.packets_ms[0])


# ---- directions and addresses


def _heard(theirs: Sdp, media: Media, host: str) -> Direction:
    """Their direction, where the old hold (c=0.0.0.0) means that they do not listen (RFC 3264 §8.4)."""
    said = theirs.direction_of(media)
    if host not in _OLD_HOLD:
        return said
    return "sendonly" if said in ("sendrecv", "sendonly") else "inactive"


def _agree(theirs: Direction, ours: Direction) -> Direction:
    """The direction from our side that both allow (RFC 3264 §6.1)."""
    send = ours in ("sendrecv", "sendonly") and theirs in ("sendrecv", "recvonly")
    receive = ours in ("sendrecv", "recvonly") and theirs in ("sendrecv", "sendonly")
    table: dict[tuple[bool, bool], Direction] = {
        (True, True): "sendrecv",
        (True, False): "sendonly",
        (False, True): "recvonly",
        (False, False): "inactive",
    }
    return table[send, receive]


def _target(theirs: Sdp, media: Media) -> str:
    """Where that stream is to be sent: an address, or a host name for the transport to resolve."""
    host = theirs.host_of(media)
    if not host:
        raise SdpError("no c= line says where to send audio. Add one (RFC 8866 §5.7).", code=400)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOSTNAME.fullmatch(host):
            raise SdpError(f"c= address {host[:60]!r} is no address or host name.", code=400) from None
    return host

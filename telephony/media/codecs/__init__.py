"""Codecs by their SDP name: payload in, PCM out, and back.

Pure. Not negotiation (sdp/): by the time a codec is opened, offer and answer have agreed on it. A codec may
keep state between packets, so every direction of every call opens its own. A call keeps the PCM rate it began
with; a codec of another rate is then opened with a converter around it. Driven by receiving.py and sending.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.codecs import g711, g722, opus
from telephony.media.codecs.rate import Converter

Frame: TypeAlias = NDArray[np.int16]
FRAME_MS: Final = 20


class Codec(Protocol):
    """One direction of one call.

    rate_hz: of the PCM; clock_hz: of the RTP timestamps (they differ for G.722, RFC 3551 §4.5.2).
    stateless: the same PCM always gives the same payload, so silence may be encoded once."""

    name: str
    rate_hz: int
    clock_hz: int
    stateless: bool

    def decode(self, payload: bytes) -> Frame:
        """One packet's payload to PCM. Raises MediaError if it cannot be decoded."""

    def encode(self, pcm: Frame) -> bytes:
        """PCM of one packet to its payload."""

    def units(self, payload: bytes) -> int:
        """How long a payload lasts, in units of the RTP clock."""


CODECS: Final[dict[str, Callable[[], Codec]]] = {
    "PCMU": g711.Pcmu,
    "PCMA": g711.Pcma,
    "G722": g722.G722,
    "OPUS": opus.Opus,
}


def open_codec(name: str, rate_hz: int | None = None) -> Codec:
    """A new codec. name: as SDP writes it, in any case. rate_hz: the call's PCM, the codec's own if None.

    Raises MediaError for a codec that is not spoken here, and for a rate that does not fit it."""
    if (make := CODECS.get(name.upper())) is None:
        raise MediaError(
            f"Codec {name!r} is not spoken here. Known: {', '.join(CODECS)}. Agree on one of these."
        )
    codec = make()
    return codec if rate_hz in (None, codec.rate_hz) else _AtRate(codec, rate_hz or codec.rate_hz)


class _AtRate:
    """A codec in a call of another PCM rate: after a transfer a wideband call may go on in G.711."""

    stateless = False

    def __init__(self, codec: Codec, rate_hz: int) -> None:
        self.name, self.rate_hz, self.clock_hz = codec.name, rate_hz, codec.clock_hz
        self.units = codec.units
        self._codec = codec
        self._heard = Converter(codec.rate_hz, rate_hz)
        self._said = Converter(rate_hz, codec.rate_hz)

    def decode(self, payload: bytes) -> Frame:
        return self._heard.feed(self._codec.decode(payload))

    def encode(self, pcm: Frame) -> bytes:
        return self._codec.encode(self._said.feed(pcm))

"""Codecs by their SDP name: payload in, PCM out, and back.

Pure. Not negotiation (sdp/): by the time a codec is opened, offer and answer have agreed on it. A codec may
keep state between packets, so every direction of every call opens its own. Driven by receiving.py and
sending.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telephony.errors import MediaError
from telephony.media.codecs import g711

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


CODECS: Final[dict[str, Callable[[], Codec]]] = {"PCMU": g711.Pcmu, "PCMA": g711.Pcma}


def open_codec(name: str) -> Codec:
    """A new codec. name: as SDP writes it, in any case. Raises MediaError for one that is not spoken here."""
    if (make := CODECS.get(name.upper())) is None:
        raise MediaError(
            f"Codec {name!r} is not spoken here. Known: {', '.join(CODECS)}. Agree on one of these."
        )
    return make()

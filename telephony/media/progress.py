"""Call-progress tones: what a telephone network says with a beep. Ringback, busy, congestion, a beep.

Pure. One period of each tone is computed once a rate and shared by all calls. Frequencies and cadences are those of
ITU-T E.180 Supplement 2 (each country's) and ETSI TR 101 041-2 (the European recommendation, `eu`). Not keypad
tones (tones.py). Who plays them is background.py's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from telephony.errors import MediaError
from telephony.media.background import Frame, Loop

Name: TypeAlias = Literal["ringback", "busy", "congestion", "beep"]

LEVEL: Final = 10 ** (-13 / 20)  # of full scale, all frequencies together: about -10 dBm0
EDGE_MS: Final = 4  # of each burst, so that it does not click


@dataclass(frozen=True, slots=True)
class Tone:
    """hz: sounding together. cadence_s: on, off, on, off, ...; then again, unless `once`."""

    hz: tuple[int, ...]
    cadence_s: tuple[float, ...]
    once: bool = False


_BEEP = Tone((1000,), (0.4, 0.1), once=True)  # "speak after the beep"
_EU_HZ = (425,)

TONES: Final[dict[str, dict[str, Tone]]] = {
    "us": {
        "ringback": Tone((440, 480), (2.0, 4.0)),
        "busy": Tone((480, 620), (0.5, 0.5)),
        "congestion": Tone((480, 620), (0.25, 0.25)),  # there called reorder
        "beep": _BEEP,
    },
    "eu": {
        "ringback": Tone(_EU_HZ, (1.0, 4.0)),
        "busy": Tone(_EU_HZ, (0.5, 0.5)),
        "congestion": Tone(_EU_HZ, (0.2, 0.2)),
        "beep": _BEEP,
    },
    "de": {
        "ringback": Tone(_EU_HZ, (1.0, 4.0)),
        "busy": Tone(_EU_HZ, (0.48, 0.48)),
        "congestion": Tone(_EU_HZ, (0.24, 0.24)),
        "beep": _BEEP,
    },
    "uk": {
        "ringback": Tone((400, 450), (0.4, 0.2, 0.4, 2.0)),
        "busy": Tone((400,), (0.375, 0.375)),
        "congestion": Tone((400,), (0.4, 0.35, 0.225, 0.525)),
        "beep": _BEEP,
    },
}


def tone(name: Name, rate_hz: int, country: str = "us") -> Loop:
    """A tone from its beginning, for one call. country: a key of TONES. Raises MediaError for another."""
    plan = TONES.get(country)
    if plan is None or name not in plan:
        known = f"{', '.join(TONES)}; {', '.join(TONES['us'])}"
        raise MediaError(f"no tone {name!r} of {country!r}. Known: {known}.")
    wanted = plan[name]
    return Loop(_period(wanted, rate_hz), rate_hz, once=wanted.once)


@lru_cache(maxsize=64)
def _period(wanted: Tone, rate_hz: int) -> Frame:
    """One cadence of the tone: int16, to the sample as long as its parts together."""
    parts = []
    for at, seconds in enumerate(wanted.cadence_s):
        size = round(seconds * rate_hz)
        parts.append(np.zeros(size) if at % 2 else _burst(wanted.hz, size, rate_hz))
    pcm: Frame = np.concatenate(parts).astype(np.int16)
    pcm.flags.writeable = False  # one for everybody
    return pcm


def _burst(hz: tuple[int, ...], size: int, rate_hz: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    at = np.arange(size) * (2 * np.pi / rate_hz)
    sound = sum((np.sin(each * at) for each in hz), np.zeros(size)) * (32767 * LEVEL / len(hz))
    edge = rate_hz * EDGE_MS // 1000
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / edge)
    sound[:edge] *= rise
    sound[-edge:] *= rise[::-1]
    return sound

"""The sounds that a plan may name, looked at when it is loaded: a caller must not be the first to find out.

Reads a file's header, nothing more; no arrays here, for the switch loads plans. Driven by files.py."""

from __future__ import annotations

import wave
from collections.abc import Collection
from pathlib import Path

from telephony.dialplan.document import closest

BUILT_IN = ("default", "none", "ringback")  # hold music
THINKING = ("typing", "tick", "off")
LONGEST_S = 900  # held in memory by every worker: a quarter of an hour is 29 MB at 16 kHz


def located(name: str, plan_path: str, built_in: Collection[str] = BUILT_IN) -> str:
    """The file that a plan means: relative ones lie beside the plan. Built-in names stay."""
    return name if name in built_in else str(Path(plan_path).parent / name)


def fault(
    path: str, what: str = "hold music", built_in: Collection[str] = BUILT_IN, shortest_s: float = 1.0
) -> str:
    """What is wrong with a sound file, in words; "" if it will do. what: the sound's name in the message."""
    wanted = "Give a 16-bit PCM WAV file with one or two channels."
    try:
        with wave.open(path, "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            rate_hz, frames = file.getframerate(), file.getnframes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        hint = f" Did you mean {close!r}?" if (close := closest(Path(path).name, built_in)) else ""
        instead = f", or write one of {', '.join(built_in)}" if built_in else ""
        return f"{what} {path}: {why}.{hint} Check the path{instead}."
    except (wave.Error, EOFError) as error:
        return f"{what} {path}: is no WAV file ({error or 'it ends too early'}). {wanted}"
    if width != 2 or channels not in (1, 2):
        return f"{what} {path}: {channels} channels of {8 * width} bits. {wanted}"
    if not 8000 <= rate_hz <= 96000:
        return f"{what} {path}: {rate_hz} Hz. Give 8000 to 96000 Hz."
    if not shortest_s * rate_hz <= frames <= LONGEST_S * rate_hz:
        give = f"Give {shortest_s:g} s to {LONGEST_S // 60} minutes."
        return f"{what} {path}: lasts {frames / rate_hz:.1f} s. {give}"
    return ""

"""What `hold_music:` may name, looked at when the plan is loaded: a caller must not be the first to find out.

Reads a file's header, nothing more; no arrays here, for the switch loads plans. Driven by load.py."""

from __future__ import annotations

import wave
from pathlib import Path

BUILT_IN = ("default", "none", "ringback")
LONGEST_S = 900  # held in memory by every worker: a quarter of an hour is 29 MB at 16 kHz


def located(name: str, plan_path: str) -> str:
    """The file that a plan means: relative ones lie beside the plan. Built-in names stay."""
    return name if name in BUILT_IN else str(Path(plan_path).parent / name)


def fault(path: str) -> str:
    """What is wrong with a file as hold music, in words; "" if it will do."""
    wanted = "Give a 16-bit PCM WAV file with one or two channels."
    try:
        with wave.open(path, "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            rate_hz, frames = file.getframerate(), file.getnframes()
    except OSError as error:
        built_in = ", ".join(BUILT_IN)
        return f"hold music {path}: {error.strerror}. Check the path, or write one of {built_in}."
    except (wave.Error, EOFError) as error:
        return f"hold music {path}: is no WAV file ({error}). {wanted}"
    if width != 2 or channels not in (1, 2):
        return f"hold music {path}: {channels} channels of {8 * width} bits. {wanted}"
    if not 8000 <= rate_hz <= 96000:
        return f"hold music {path}: {rate_hz} Hz. Give 8000 to 96000 Hz."
    if not rate_hz <= frames <= LONGEST_S * rate_hz:
        return f"hold music {path}: lasts {frames / rate_hz:.1f} s. Give one second to {LONGEST_S // 60} minutes."
    return ""

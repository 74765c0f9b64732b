"""From what the plan lets callers hear to what an agent can say: words, or a recording of them.

A file is read in a thread when its turn comes, at the call's rate, and kept for the next call."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import structlog

from pipeline.ports import Frame
from pipeline.speaking.clip import Clip
from telephony.dialplan.saying import Saying
from telephony.errors import MediaError
from telephony.media.music import file_sound

log = structlog.get_logger()


def spoken(saying: Saying, rate_hz: int) -> str | Clip:
    """For `say` of a session."""
    if not saying.sound:
        return saying.text
    return Clip(saying.text, Path(saying.sound).name, partial(_fetched, saying.sound, rate_hz))


async def _fetched(path: str, rate_hz: int) -> Frame | None:
    """A file that went away since the plan was loaded costs its sound, not the call."""
    try:
        sound = await asyncio.to_thread(file_sound, path, rate_hz)
        return sound if len(sound) else None
    except MediaError as error:
        log.error("no_sound", error=str(error))
        return None

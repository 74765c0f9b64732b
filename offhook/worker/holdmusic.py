"""What callers of one call hear while they wait: fetched in a thread before it is needed, then played.

When it is wanted is bridge.py's business, how it sounds telephony/media/music.py's."""

from __future__ import annotations

import asyncio

import structlog

from telephony.dialplan.model import Route
from telephony.errors import MediaError
from telephony.media.music import music
from telephony.media.stream import Stream

log = structlog.get_logger()


class HoldMusic:
    """A file that went away since the plan was loaded costs silence."""

    def __init__(self, call_id: str, route: Route, rate_hz: int) -> None:
        self._call_id, self._rate_hz = call_id, rate_hz
        self._name, self._tones = route.hold_music, route.tones

    async def fetch(self) -> None:
        """Have it in memory."""
        try:
            await asyncio.to_thread(music, self._name, self._rate_hz, self._tones)
        except MediaError as error:
            log.error("no_hold_music", call_id=self._call_id, error=str(error))
            self._name = "none"

    def play(self, stream: Stream | None) -> None:
        """From now on, until the stream's background is stopped."""
        if stream is not None and (sound := music(self._name, self._rate_hz, self._tones)):
            stream.play_background(sound)

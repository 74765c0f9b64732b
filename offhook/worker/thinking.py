"""The sound of an agent that thinks, on one stream: fetched once in a thread, then played whenever it is wanted.

When it is wanted is the session's business (pipeline/thinking.py), how it sounds telephony/media/thinking.py's."""

from __future__ import annotations

import asyncio

import structlog

from pipeline.options import ThinkingSound
from telephony.errors import MediaError
from telephony.media.background import Frame, Loop
from telephony.media.codecs import FRAME_MS
from telephony.media.stream import Stream
from telephony.media.thinking import thinking

log = structlog.get_logger()


class ThinkingSounds:
    """One call's. A file that went away since the worker started costs silence."""

    def __init__(self, call_id: str, rate_hz: int) -> None:
        self._call_id, self._rate_hz = call_id, rate_hz
        self._known: dict[ThinkingSound, Frame | None] = {}
        self._wanted: ThinkingSound | None = None
        self._fetching: set[asyncio.Task[None]] = set()

    async def fetch(self, sound: ThinkingSound) -> None:
        """Have it in memory before it is needed."""
        if not sound.on or sound in self._known:
            return
        self._known[sound] = None
        try:
            self._known[sound] = await asyncio.to_thread(thinking, sound.sound, self._rate_hz, sound.level_db)
        except MediaError as error:
            log.error("no_thinking_sound", call_id=self._call_id, error=str(error))

    def play(self, stream: Stream | None, sound: ThinkingSound | None) -> None:
        """From now on, None: no more. One that is not there yet follows. Never blocks."""
        self._wanted = sound
        if stream is None:
            return
        if sound is None:
            stream.stop_murmur()
        elif sound not in self._known:
            task = asyncio.get_running_loop().create_task(self._play_later(stream, sound), name="fetch sound")
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        elif (pcm := self._known[sound]) is not None:
            stream.play_murmur(Loop(pcm, self._rate_hz), sound.fade_ms // FRAME_MS)

    async def _play_later(self, stream: Stream, sound: ThinkingSound) -> None:
        await self.fetch(sound)
        if self._wanted is sound:
            self.play(stream, sound)

"""What a caller on hold hears, in memory before it is needed. Driven by bridge.py."""

from __future__ import annotations

import asyncio

import structlog

from telephony.dialplan.model import Route
from telephony.errors import MediaError
from telephony.media.music import music

log = structlog.get_logger()


async def with_music(route: Route, rate_hz: int, call_id: str) -> Route:
    """Fetch it. A file that went away since the plan was loaded costs silence."""
    try:
        await asyncio.to_thread(music, route.hold_music, rate_hz, route.tones)
    except MediaError as error:
        log.error("no_hold_music", call_id=call_id, error=str(error))
        return route.model_copy(update={"hold_music": "none"})
    return route

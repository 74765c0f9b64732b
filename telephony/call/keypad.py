"""Keys by INFO instead of RTP, theirs and ours (RFC 6086 and what PBXs made of it: application/dtmf-relay).

Driven by call.py. Keys in RTP (RFC 4733) are media's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from telephony.call.events import DigitsByInfo
from telephony.dialstring import PAUSES_S, read
from telephony.errors import MediaError
from telephony.sip.message import Request, Response

PRESS_MS: Final = 160  # what the far side is told to play
GAP_S: Final = 0.06  # of silence after it, as in RTP

_BY_NUMBER = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}  # RFC 4733 event codes
_KEY = re.compile(r"[0-9*#A-D]", re.IGNORECASE)
_LINE = re.compile(
    r"^[ \t]*(signal|duration)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


def pressed(request: Request) -> DigitsByInfo | None:
    """The key that an INFO reports: `application/dtmf-relay` (Signal=, Duration=) or `application/dtmf` (the
    bare key).

    None if it is about something else or names no key."""
    text = request.body[:256].decode("latin-1")
    if request.content_type == "application/dtmf":
        signal, duration = text.strip(), ""
    elif request.content_type == "application/dtmf-relay":
        fields = {name.lower(): value for name, value in _LINE.findall(text)}
        signal, duration = fields.get("signal", ""), fields.get("duration", "")
    else:
        return None
    key = _BY_NUMBER.get(signal, signal).upper()
    if not _KEY.fullmatch(key):
        return None
    lasted = int(duration) if duration.isascii() and duration.isdigit() and len(duration) < 6 else 0
    return DigitsByInfo(key, lasted)


class InfoKeys:
    """Our keys on a call whose trunk wants INFO. One request at a time, the next when it is answered and the key
    has sounded, so that none overtakes another.

    ask: sends an INFO with this body and returns its final response."""

    def __init__(self, ask: Callable[[bytes], Awaitable[Response]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()  # two strings do not mix

    async def send(self, text: str) -> None:
        """Press and wait as the string says (dialstring.py). Returns when the last key has sounded.

        Raises MediaError for what is no such string, before anything is sent, and when the far side refuses."""
        keys = read(text)
        async with self._turn:
            for key in keys:
                if key in PAUSES_S:
                    await asyncio.sleep(PAUSES_S[key])
                else:
                    await self._press(key)

    async def _press(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        response = await self._ask(f"Signal={key}\r\nDuration={PRESS_MS}\r\n".encode())
        if response.status >= 300:
            remedy = "Set the trunk's dtmf to auto, rtp or inband."
            raise MediaError(f"INFO with a key: {response.status} {response.reason}. {remedy}")
        await asyncio.sleep(max(0.0, began + PRESS_MS / 1000 + GAP_S - loop.time()))

"""What a worker and the model host say to each other, as bytes of a Unix stream socket.

Pure. A message is a header (length of the body, kind, stream) and a body: sound as int16 little endian, or a JSON
object. Stream 0 is the connection itself; the client numbers the others. Not the switch's link (offhook/link.py).

From the client: `{"do": "open", "provider", "rate_hz", "phrases", "language", "options"}`, then per stream `start`,
sound, `end`, `expect` with phrases and language, `close`. From the host: `{"event": "ready", "providers"}` on
stream 0 once it can serve, and per stream `opened` with warnings, `partial`, `final`, `failed` with cause and message.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, TypeAlias

from offhook.errors import OffhookError
from pipeline.ports import Final, Hints, Partial, SttEvent

AUDIO, CONTROL = 1, 2
MAX_BODY_BYTES = 1 << 20

Body: TypeAlias = bytes | dict[str, Any]

_HEADER = struct.Struct("!IBI")


class WireError(OffhookError):
    """The other end of the model host's socket speaks something else."""


def audio(stream: int, pcm: bytes) -> bytes:
    return _HEADER.pack(len(pcm), AUDIO, stream) + pcm


def control(stream: int, message: dict[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _HEADER.pack(len(body), CONTROL, stream) + body


class Reader:
    """Bytes in, messages out. Raises WireError for what is no message; then the connection is of no more use."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, Body]]:
        """(stream, body) of every message that is complete now."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            length, kind, stream = _HEADER.unpack_from(self._buffer)
            if length > MAX_BODY_BYTES or kind not in (AUDIO, CONTROL):
                raise WireError(
                    f"models: {length} bytes of kind {kind} announced. Start both ends from one version."
                )
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield stream, body if kind == AUDIO else _object(body)


def event_message(event: SttEvent) -> dict[str, Any]:
    """A recogniser's event as a message."""
    if isinstance(event, Partial):
        return {"event": "partial", "text": event.text, "complete": event.complete}
    return {
        "event": "final",
        "text": event.text,
        "confidence": event.confidence,
        "understood": event.understood,
        "ends_turn": event.ends_turn,
    }


def message_event(message: dict[str, Any]) -> SttEvent:
    """A `partial` or `final` message as the event it was. Raises WireError."""
    try:
        if message["event"] == "partial":
            return Partial(message["text"], message["complete"])
        return Final(message["text"], message["confidence"], message["understood"], message["ends_turn"])
    except KeyError as error:
        raise WireError(
            f"models: message {message.get('event')!r} lacks {error}. Restart both ends."
        ) from error


def hints_message(hints: Hints) -> dict[str, Any]:
    return {"phrases": list(hints.phrases), "language": hints.language}


def message_hints(message: dict[str, Any]) -> Hints:
    """Raises WireError."""
    phrases, language = message.get("phrases"), message.get("language")
    if not isinstance(phrases, list) or not isinstance(language, str):
        raise WireError("models: hints without phrases or language. Start both ends from one version.")
    return Hints(tuple(str(phrase) for phrase in phrases), language)


def message_opening(message: dict[str, Any]) -> tuple[Hints, int, dict[str, Any]]:
    """Hints, rate and options of an `open`. Raises WireError."""
    rate_hz, options = message.get("rate_hz"), message.get("options", {})
    if not isinstance(rate_hz, int) or not isinstance(options, dict):
        raise WireError(
            "models: a stream was opened without rate or options. Start both ends from one version."
        )
    return message_hints(message), rate_hz, options


def _object(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise WireError(f"models: control message is no JSON ({error}).") from error
    if not isinstance(message, dict):
        raise WireError("models: control message is no JSON object.")
    return message

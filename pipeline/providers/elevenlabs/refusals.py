"""Why ElevenLabs refuses: its error codes, close codes and handshakes as a ProviderError.

Used by the voice and by the recogniser. Codes as its API reference, its SDK (types/scribe_*_payload) and the issue
trackers of its users name them; what none of them names counts as the server's fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus

from pipeline.errors import Cause, ProviderError
from pipeline.providers.blame import failed, refused

NAME = "elevenlabs"
TOO_BIG, TRY_LATER = 1009, 1013  # RFC 6455 §7.4.1 and its registry
ORDINARY = (1000, 1001, 1006, 1012)  # the connection went away, whoever wanted it

_BY_CODE: Mapping[str, Cause] = {
    "invalid_api_key": "auth",
    "missing_permissions": "auth",
    "needs_authorization": "auth",
    "auth_error": "auth",
    "unaccepted_terms": "auth",
    "detected_unusual_activity": "auth",
    "quota_exceeded": "quota",
    "payment_required": "quota",
    "too_many_concurrent_requests": "rate_limit",
    "concurrent_limit_exceeded": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "rate_limited": "rate_limit",
    "max_active_conversations": "rate_limit",
    "system_busy": "rate_limit",
    "resource_exhausted": "rate_limit",
    "queue_overflow": "rate_limit",
    "voice_not_found": "bad_request",
    "voice_id_does_not_exist": "bad_request",
    "model_not_found": "bad_request",
    "text_too_long": "bad_request",
    "invalid_input_message": "bad_request",
    "invalid_request": "bad_request",
    "input_error": "bad_request",
    "chunk_size_exceeded": "bad_request",
    "input_timeout_exceeded": "connectivity",
    "session_time_limit_exceeded": "connectivity",
    "insufficient_audio_activity": "connectivity",
}
_BY_WORDS: tuple[tuple[str, Cause], ...] = (  # of a close without a code: the reason is all there is
    ("quota", "quota"),
    ("api key", "auth"),
    ("api_key", "auth"),
    ("unusual activity", "auth"),
    ("simultaneous contexts", "rate_limit"),
    ("concurrent", "rate_limit"),
    ("too many", "rate_limit"),
    ("within the timeout", "connectivity"),
    ("does not exist", "bad_request"),
    ("not found", "bad_request"),
    ("not supported", "bad_request"),
    ("unsupported", "bad_request"),
    ("schema", "bad_request"),
)


def said(code: str, words: str) -> ProviderError:
    """What an error message of the protocol means. code: such as `quota_exceeded`; words: the server's own."""
    cause = _BY_CODE.get(code) or _by_words(words) or _by_words(code.replace("_", " ")) or "server"
    return failed(NAME, cause, f"{code}: {words}" if words else code or "an error without a name")


def closed(code: int | None, reason: str) -> ProviderError:
    """The server ended a connection that was in use. code: of RFC 6455, None if it simply went away."""
    fact = f"the connection was closed ({code or 'no close frame'}{f', {reason}' if reason else ''})"
    if code == TOO_BIG:  # what comes for a voice that the model cannot speak with
        return failed(NAME, "bad_request", fact)
    if (cause := _by_words(reason)) is not None:
        return failed(NAME, cause, fact)
    if code is None or code in ORDINARY:
        return failed(NAME, "connectivity", fact)
    return failed(NAME, "rate_limit" if code == TRY_LATER else "server", fact)


def lost(error: ConnectionClosed) -> ProviderError:
    """The same from the exception of the websockets library."""
    return closed(error.rcvd.code, error.rcvd.reason) if error.rcvd else closed(None, "")


def not_opened(error: Exception) -> ProviderError:
    """A connection that was not made: refused in the handshake, too slow, or nobody there."""
    if isinstance(error, InvalidStatus):
        response = error.response
        return refused(NAME, response.status_code, _detail(response.body), dict(response.headers.raw_items()))
    if isinstance(error, TimeoutError):
        return failed(NAME, "timeout", "no answer to the handshake")
    if isinstance(error, OSError):
        return failed(NAME, "connectivity", str(error))
    return failed(NAME, "server", f"the handshake failed: {error}")


def _by_words(words: str) -> Cause | None:
    lower = words.lower()
    return next((cause for word, cause in _BY_WORDS if word in lower), None)


def _detail(body: bytes | bytearray | None) -> str:
    """The words of a refusal: `{"detail": {"status": …, "message": …}}`, or whatever came."""
    text = (body or b"").decode("utf-8", "replace")
    try:
        found: Any = json.loads(text)
    except ValueError:
        return text
    detail = found.get("detail", found) if isinstance(found, dict) else found
    if isinstance(detail, dict):
        return " ".join(str(detail[key]) for key in ("status", "code", "message") if detail.get(key)) or text
    return str(detail)

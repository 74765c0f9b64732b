"""What a plugin's exception means: LiveKit's errors, and any other, as a ProviderError with its cause.

LiveKit's APIStatusError carries an HTTP status, or the close code of a WebSocket (RFC 6455 §7.4), or -1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from pipeline.errors import Cause, ProviderError
from pipeline.providers import blame

_STATUS_INSIDE = re.compile(r"status_?code\W{1,4}(\d{3})\b")  # a vendor's error event, quoted by its plugin
_CLOSE_CODES: dict[int, Cause] = {1007: "bad_request", 1008: "bad_request", 1009: "bad_request"}
_CLOSE_CODES |= {1011: "server", 1012: "server", 1013: "rate_limit"}


@contextmanager
def translated(provider: str) -> Iterator[None]:
    """Whatever a plugin raises in here leaves as a ProviderError."""
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:  # third parties' code
        raise provider_error(provider, error) from blame.origin(error)


def provider_error(provider: str, error: Exception) -> ProviderError:
    """Its cause, and its own words with keys masked."""
    if isinstance(error, APIStatusError):
        return _of_status(provider, error)
    if isinstance(error, APITimeoutError | TimeoutError):
        return blame.failed(provider, "timeout", str(error) or "no answer")
    if isinstance(error, APIConnectionError | OSError):
        return blame.failed(provider, "connectivity", str(error))
    if isinstance(error, APIError):
        if inside := _STATUS_INSIDE.search(f"{error.message} {error.body}"):
            return blame.refused(provider, int(inside[1]), error.message)
        return blame.failed(provider, "server", error.message)
    if isinstance(error, aiohttp.ClientResponseError):  # its text has the request in it, and so the key
        return blame.refused(provider, error.status, error.message)
    if isinstance(error, aiohttp.ClientError):
        return blame.failed(provider, "connectivity", str(error))
    return blame.from_sdk(provider, error)


def _of_status(provider: str, error: APIStatusError) -> ProviderError:
    words = f"{error.message} {error.body or ''}".strip()
    if 400 <= error.status_code < 600:
        return blame.refused(provider, error.status_code, words)
    if 4000 <= error.status_code < 5000:  # vendors number their own refusals after HTTP's
        return blame.refused(provider, 400 + error.status_code % 100, words)
    return blame.failed(provider, _CLOSE_CODES.get(error.status_code, "connectivity"), words)

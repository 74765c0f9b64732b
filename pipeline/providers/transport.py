"""What an HTTP library's exception means, whichever library an SDK is built on. Used beside blame.from_sdk."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import aiohttp

from pipeline.errors import ProviderError
from pipeline.providers import blame

_LIBRARIES = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name) is not None]
HTTP_ERRORS: tuple[type[Exception], ...] = (
    OSError,  # TimeoutError is one
    aiohttp.ClientError,
    *[library.HTTPError for library in _LIBRARIES],
    *[library.StreamError for library in _LIBRARIES],
)


def transport_error(provider: str, error: Exception) -> ProviderError:
    """A connection that could not be made, was cut, or is silent for too long."""
    name = type(error).__name__
    timed_out = "Timeout" in name or isinstance(error, TimeoutError)
    return blame.failed(provider, "timeout" if timed_out else "connectivity", f"{name}: {error}")

"""Who is to blame when a provider's server refuses, fails or goes away: its answer as a ProviderError.

Used by every provider that speaks to a server. Pure but for the key mask. Statuses as the vendors document them:
402 and 429 with `insufficient_quota` are an empty purse, 498 and 529 an overloaded server; RFC 9110 has the rest."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from pipeline.errors import Cause, ProviderError
from pipeline.providers.keys import redacted

LONGEST = 300  # letters of a server's own words

REMEDY: Mapping[Cause, str] = {
    "auth": "Check its key and what the key may do.",
    "quota": "Its account is used up: add credit, or name a fallback.",
    "rate_limit": "Too many requests: raise the limit with the vendor, or name a fallback.",
    "bad_request": "Check model, voice and options in the dial plan.",
    "connectivity": "Is it reachable?",
    "timeout": "No answer in time. Is it reachable?",
    "server": "See the vendor's status page.",
}
_BY_STATUS: Mapping[int, Cause] = {
    401: "auth",
    402: "quota",
    403: "auth",
    408: "timeout",
    429: "rate_limit",
    498: "rate_limit",
}
_EMPTY_PURSE = (
    "insufficient_quota",
    "quota_exceeded",
    "exceeded your current quota",
    "credit balance",
    "billing",
)


def cause_of(status: int, text: str = "") -> Cause:
    """Why an HTTP status came. text: what the server said with it, which tells an empty purse from haste."""
    lower = text.lower()
    if status in (401, 403, 429) and any(word in lower for word in _EMPTY_PURSE):
        return "quota"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "bad_request" if 400 <= status < 500 else "server"


def refused(provider: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> ProviderError:
    """What a server's refusal means. text: its own words; keys in it are masked."""
    cause = cause_of(status, text)
    words = redacted(" ".join(text.split()))[:LONGEST] or "no reason given"
    return ProviderError(
        provider, cause, f"{status}: {words}. {REMEDY[cause]}", retry_after=retry_after(headers or {})
    )


def failed(provider: str, cause: Cause, fact: str) -> ProviderError:
    """A failure without a status: a connection that was cut, an answer that makes no sense."""
    return ProviderError(provider, cause, f"{redacted(fact)[:LONGEST].rstrip('.')}. {REMEDY[cause]}")


def origin(error: BaseException) -> BaseException | None:
    """What a ProviderError may come `from`: the SDK's exception, unless a traceback of it would show a key."""
    shown = "".join(traceback.format_exception(error))
    return error if redacted(shown) == shown else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long to leave the server alone, in s (RFC 9110 §10.2.3); `retry-after-ms` is more exact where it comes.

    headers: names in any case. A date counts as unknown: it would need the wall clock."""
    lower = {name.lower(): value for name, value in headers.items()}
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(lower[name]) * unit_s)
        except (KeyError, ValueError):
            continue
    return None


def from_sdk(provider: str, error: Exception) -> ProviderError:
    """An exception of an SDK made by Stainless (openai, groq, anthropic): they share names and attributes.

    `status_code` and `response` stand for a refusal; a name with Timeout or Connection for a server that is away."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return refused(
            provider, status, _words(error), dict(getattr(getattr(error, "response", None), "headers", {}))
        )
    name = type(error).__name__
    if "Timeout" in name or isinstance(error, TimeoutError):
        return failed(provider, "timeout", f"{name}: {error}")
    if "Connect" in name or "Network" in name or isinstance(error, OSError):
        return failed(
            provider, "connectivity", f"{error} ({error.__cause__!r})" if error.__cause__ else str(error)
        )
    return failed(provider, "server", f"{name}: {error}")


def _words(error: Exception) -> str:
    body: Any = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            parts = [str(inner.get(key)) for key in ("message", "code", "type") if inner.get(key)]
            return " ".join(parts) or str(error)
    return str(error)

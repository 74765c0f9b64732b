"""A vendor's SDK client over one warm connection pool, which all calls of a worker share.

For the SDKs that Stainless makes (groq, openai): same shape, over httpx or its successor. Their own retries are off;
whom to ask next is pipeline/providers/resilient's business. Every failure leaves `blamed` as a ProviderError."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, TypeVar

from pipeline.errors import ProviderError
from pipeline.providers.blame import from_sdk, origin, refused
from pipeline.providers.rate_limits import RateLimits

CONNECT_S = 3.0
IDLE_S = (
    55.0  # an idle connection is kept so long: the time between two turns, where httpx closes it after 5 s
)
CONNECTIONS = 100

C = TypeVar("C")


class SdkClient(Generic[C]):
    """One vendor's client; made when it is first needed, inside the running loop.

    sdk: its module. errors: its own exceptions. make(http): the client over this HTTP client. timeout_s: the longest
    silence within an answer.
    """

    def __init__(
        self,
        provider: str,
        sdk: ModuleType,
        errors: type[Exception],
        make: Callable[[Any], C],
        timeout_s: float,
    ) -> None:
        self.provider, self.limits = provider, RateLimits()
        self._sdk, self._make, self._timeout_s = sdk, make, timeout_s
        self._http_library = import_module(sdk.DefaultAsyncHttpxClient.__base__.__module__.partition(".")[0])
        self.errors = (
            errors,
            self._http_library.HTTPError,
            self._http_library.StreamError,
            ValueError,
            OSError,
        )
        _tls(self._http_library)  # 20 ms, better spent now than in a call
        self._client: C | None = None
        self._http: Any = None

    @property
    def client(self) -> C:
        """The SDK's client."""
        if self._client is None:
            http = self._http_library
            self._http = self._sdk.DefaultAsyncHttpxClient(
                verify=_tls(http),
                timeout=http.Timeout(self._timeout_s, connect=min(CONNECT_S, self._timeout_s)),
                limits=http.Limits(
                    max_connections=CONNECTIONS,
                    max_keepalive_connections=CONNECTIONS,
                    keepalive_expiry=IDLE_S,
                ),
            )
            self._client = self._make(self._http)
        return self._client

    async def warm(self) -> None:
        """Open a connection, so that the first request need not wait for TCP and TLS, nor for the SDK to find out in a
        thread what machine it runs on. A server that is away is found out by that request."""
        client: Any = self.client
        with suppress(*self.errors):
            await client.get("/", cast_to=self._http_library.Response)

    async def aclose(self) -> None:
        """Close every connection. The next request opens new ones."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.aclose()

    def check(self) -> None:
        """Raises ProviderError if the server would refuse for haste."""
        self.limits.check(self.provider, asyncio.get_running_loop().time())

    @property
    def scarce(self) -> bool:
        """Should no request be spent on a guess?"""
        return self.limits.scarce(asyncio.get_running_loop().time())

    def note(self, headers: Mapping[str, str]) -> None:
        """What any answer says of the limits."""
        self.limits.note(headers, asyncio.get_running_loop().time())

    async def parsed(self, raw: Any) -> Any:
        """The answer in a raw response, whose headers are noted; groq's parses it in a coroutine, openai's does not."""
        self.note(raw.headers)
        answer = raw.parse()
        return await answer if inspect.isawaitable(answer) else answer

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """What the SDK raises in here leaves as a ProviderError."""
        try:
            yield
        except self.errors as error:
            blamed = told_in_stream(self.provider, error) or from_sdk(self.provider, error)
            response = getattr(error, "response", None)
            if response is not None:
                self.note(response.headers)
            self.limits.refused(blamed, asyncio.get_running_loop().time())
            raise blamed from origin(error)


class SdkProvider:
    """A provider whose connections live in an SdkClient."""

    def __init__(self, sdk: SdkClient[Any]) -> None:
        self._sdk = sdk

    async def warm(self) -> None:
        """Open a connection ahead of the first request."""
        await self._sdk.warm()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sdk.aclose()


_STATUS_OF: Mapping[str, int] = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tool_use_failed": 400,
    "json_validate_failed": 400,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
}


def told_in_stream(provider: str, error: Exception) -> ProviderError | None:
    """An error that came as an event of a stream which had begun with 200: its code says what a status would."""
    if isinstance(getattr(error, "status_code", None), int):
        return None
    said = error_body(error)
    if not said:
        return None
    status = (
        said.get("status_code")
        or _STATUS_OF.get(str(said.get("code")))
        or _STATUS_OF.get(str(said.get("type")))
    )
    if not isinstance(status, int):
        return None
    return refused(provider, status, f"{said.get('message', '')} {said.get('code') or ''}")


def error_body(error: BaseException | None) -> dict[str, Any]:
    """The server's error object, empty if it sent none."""
    body: Any = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


@cache
def _tls(http: ModuleType) -> ssl.SSLContext:
    context: ssl.SSLContext = http.create_ssl_context()
    return context

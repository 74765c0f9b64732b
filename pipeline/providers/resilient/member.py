"""One provider of a team, and how it has been doing. Shared by all calls of a worker; holds no call.

Requests report to it (attempt.py, team.py). While it rests, a cheap request of its own finds out in the background
whether it is back, so that no caller has to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from pipeline.errors import PipelineError, ProviderError
from pipeline.providers.resilient.breaker import Breaker, BreakerState
from pipeline.providers.resilient.policy import Speed

PROBE_TIMEOUT_S = 5.0


class Named(Protocol):
    """Any provider."""

    name: str


P = TypeVar("P", bound=Named)


class Member(Generic[P]):
    """A provider with its breaker.

    name: for events, where the provider's own is not enough (two models of one vendor). probe: a cheap request
    that raises ProviderError if the provider is not back; without one the next real request is the trial.
    on_state(name, state): the breaker changed its state.
    """

    def __init__(
        self,
        provider: P,
        *,
        name: str = "",
        probe: Callable[[P], Awaitable[None]] | None = None,
        breaker: Breaker | None = None,
        on_state: Callable[[str, BreakerState], None] = lambda name, state: None,
    ) -> None:
        self.provider, self.name = provider, name or provider.name
        self.breaker = breaker or Breaker()
        self.speed = Speed()
        self._probe, self._on_state = probe, on_state
        self._probing: asyncio.Task[None] | None = None

    def takes(self) -> bool:
        """May it be asked now? Then it is owed succeeded, failed or released."""
        state = self.breaker.state
        taken = self.breaker.takes(_now())
        self._tell(state)
        return taken

    def succeeded(self) -> None:
        state = self.breaker.state
        self.breaker.succeeded(_now())
        self._tell(state)

    def failed(self, error: ProviderError) -> None:
        """A request failed, or took so long that another one was asked."""
        state = self.breaker.state
        self.breaker.failed(_now(), error.cause, error.retry_after)
        self._tell(state)
        if self.breaker.state == "open" and self._probe and self._probing is None:
            self._probing = asyncio.create_task(self._recover(self._probe), name=f"probe {self.name}")
            self._probing.add_done_callback(self._probed)

    def took(self, seconds: float) -> None:
        """A caller waited so long for it, or at least so long."""
        self.speed.observe(seconds, _now())

    def close(self) -> None:
        """Nobody asks it any more, neither do we."""
        if self._probing is not None:
            self._probing.cancel()

    def released(self) -> None:
        """The request was given up before it had an outcome."""
        state = self.breaker.state
        self.breaker.released()
        self._tell(state)

    async def _recover(self, probe: Callable[[P], Awaitable[None]]) -> None:
        """Ask after each rest until the provider, or somebody's request, has answered."""
        while self.breaker.state != "closed":
            await asyncio.sleep(max(0.0, self.breaker.until - _now()))
            if not self.takes():
                await asyncio.sleep(PROBE_TIMEOUT_S)  # somebody's request is the trial
                continue
            try:
                with blamed(self.name):
                    async with asyncio.timeout(PROBE_TIMEOUT_S):
                        await probe(self.provider)
            except ProviderError as error:
                self.failed(error)
            else:
                self.succeeded()

    def _probed(self, _: asyncio.Task[None]) -> None:
        self._probing = None

    def _tell(self, before: BreakerState) -> None:
        if self.breaker.state != before:
            self._on_state(self.name, self.breaker.state)


@contextmanager
def blamed(name: str) -> Iterator[None]:
    """Whatever a provider's own code raises comes out as a ProviderError of that provider."""
    try:
        yield
    except ProviderError:
        raise
    except PipelineError as error:
        raise ProviderError(name, "bad_request", str(error)) from error
    except TimeoutError as error:
        raise ProviderError(name, "timeout", "no answer in time. Is it reachable?") from error
    except OSError as error:
        raise ProviderError(name, "connectivity", f"{error}. Is it reachable?") from error
    except Exception as error:  # a provider's own code: costs this request, another provider is asked
        fact = f"{type(error).__name__}: {error}. This is a bug of the provider's adapter."
        raise ProviderError(name, "server", fact) from error


def _now() -> float:
    return asyncio.get_running_loop().time()

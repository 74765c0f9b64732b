"""The checks that are the same for recognisers, models and voices: what becomes of a server's refusals and cuts.

A kind brings its `Manner`: how to make one whole request, a team of it, and a fake that stands in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from pipeline.errors import Cause
from pipeline.providers.registry import Kind
from pipeline.providers.resilient import Patience
from pipeline.testing.conformance.subject import (
    Check,
    Subject,
    Trouble,
    failure,
    let_go,
    require,
    without_secret,
)

SHORT = Patience(beside_s=0.2, timeout_s=0.5, gap_s=0.5)
_REFUSALS: Mapping[Trouble, Cause] = {
    "auth": "auth",
    "quota": "quota",
    "rate_limit": "rate_limit",
    "bad_request": "bad_request",
    "server": "server",
    "unreachable": "connectivity",
}
_CUTS: Mapping[Trouble, str] = {
    "malformed": "garbage instead of an answer is a ProviderError (server or connectivity)",
    "truncated": "an answer that ends before it is complete is a ProviderError, not a short answer",
    "drops": "a connection cut in the middle of an answer is a ProviderError",
}


@dataclass(frozen=True)
class Manner:
    """How a kind is used. use(provider, subject): one request, its whole answer as text; raises ProviderError.

    team(providers, patience): the kind's Fallback. fake(): one that answers "stand-in"."""

    kind: Kind
    use: Callable[[object, Subject], Awaitable[str]]
    team: Callable[[list[object], Patience], object]
    fake: Callable[[], object]
    right: Callable[[str, Subject], bool]


def checks(manner: Manner) -> tuple[Check, ...]:
    """These checks for one kind."""

    def check(
        name: str, about: str, run: Callable[[Manner, Subject], Awaitable[None]], trouble: Trouble
    ) -> Check:
        return Check(name, manner.kind, about, partial(run, manner), trouble)

    refusals = [
        check(f"error_{trouble}", f"`{cause}` is the cause", partial(_refused, cause), trouble)
        for trouble, cause in _REFUSALS.items()
    ]
    cuts = [check(trouble, about, _cut, trouble) for trouble, about in _CUTS.items()]
    return (
        check("slow_first_byte", "an answer that begins late is whole all the same", _slow, "slow"),
        check(
            "timeout", "a server that says nothing does not keep a stand-in from serving", _timeout, "silent"
        ),
        check("retry", "what failed once succeeds when it is asked again", _retry, "fails_once"),
        check("asks_once", "it does not retry by itself: that is its team's business", _asks_once, "server"),
        *cuts,
        *refusals,
        check("secrets", "neither errors nor tracebacks hold the key that a server quotes", _secrets, "auth"),
    )


async def _slow(manner: Manner, subject: Subject) -> None:
    provider = subject.make(subject.text)
    said = await manner.use(provider, subject)
    await let_go(provider)
    require(manner.right(said, subject), f"the answer is {said!r}")


async def _timeout(manner: Manner, subject: Subject) -> None:
    provider, fake = subject.make(subject.text), manner.fake()
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await manner.use(manner.team([provider, fake], SHORT), subject)
    await let_go(provider)
    require(loop.time() - asked < 2.0, f"the stand-in served after {loop.time() - asked:.1f} s")


async def _retry(manner: Manner, subject: Subject) -> None:
    provider = subject.make(subject.text)
    said = await manner.use(manner.team([provider], Patience(2.0, 3.0, 3.0)), subject)
    await let_go(provider)
    require(manner.right(said, subject), f"the answer is {said!r}")


async def _asks_once(manner: Manner, subject: Subject) -> None:
    assert subject.difficulties is not None
    provider = subject.make(subject.text)
    await failure(lambda: manner.use(provider, subject))
    await let_go(provider)
    asked = subject.difficulties.requests
    require(asked <= 1, f"one request became {asked}. Switch the SDK's retries off.")


async def _cut(manner: Manner, subject: Subject) -> None:
    provider = subject.make(subject.text)
    error = await failure(lambda: manner.use(provider, subject))
    await let_go(provider)
    require(error.cause in ("server", "connectivity"), f"the cause is {error.cause}: {error}")


async def _refused(cause: Cause, manner: Manner, subject: Subject) -> None:
    provider = subject.make(subject.text)
    error = await failure(lambda: manner.use(provider, subject))
    await let_go(provider)
    require(error.cause == cause, f"the cause is {error.cause}: {error}")
    wait = error.retry_after
    require(wait is None or 0 <= wait <= 86400, f"retry_after is {wait}")


async def _secrets(manner: Manner, subject: Subject) -> None:
    assert subject.difficulties is not None
    provider = subject.make(subject.text)
    error = await failure(lambda: manner.use(provider, subject))
    await let_go(provider)
    without_secret(error, subject.difficulties.secret)

"""What a conformance check examines, and how its verdict comes about. Knows no kind of provider.

A check is supervised: whatever the provider raises, however long it hangs and whatever tasks it leaves behind becomes
a verdict in words. Runs on any loop; the limits are those of ports.py."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pipeline.errors import ProviderError
from pipeline.providers.registry import Kind

Trouble = Literal[
    "auth", "quota", "rate_limit", "bad_request", "server", "unreachable",
    "silent", "slow", "malformed", "truncated", "drops", "fails_once",
]  # fmt: skip
"""What a server can do to its clients. The first six refuse; silent: takes the request and says nothing; slow: the
first byte comes after 0.3 s; malformed: garbage instead of an answer; truncated: a well-formed beginning, and the
stream ends as if all were said; drops: the connection is cut in the middle of the answer; fails_once: a server error,
then well."""

CANCEL_S = 0.05  # from cancelling or closing until the caller of it goes on
TRIES = 3  # the best of so many counts: a busy machine may take its time, a provider may not
PATIENCE_S = 8.0  # with one check
TIDY_S = 1.0  # until requests are ended and tasks are gone


class NotConforming(AssertionError):
    """The provider did what the contract forbids, or did not do what it asks for."""


class Difficulties(Protocol):
    """The test server of a provider, or something in its place, that misbehaves when it is told to.

    troubles: those it can make; checks that need another one do not apply. secret: the API key that the provider
    has; its refusals quote it. requests: asked of it since the last `clear`. running: of these, not yet over.
    """

    @property
    def troubles(self) -> Collection[Trouble]: ...
    @property
    def secret(self) -> str: ...
    @property
    def requests(self) -> int: ...
    @property
    def running(self) -> int: ...
    def make(self, trouble: Trouble) -> None:
        """From the next request on, until `clear`."""

    def clear(self) -> None:
        """Be well, and forget what was asked."""


@dataclass(frozen=True)
class Subject:
    """A provider to be examined.

    make(text): a fresh one. A model says `text`, a recogniser hears it whatever it is given or can hear it spoken, a
    voice does not care; for a Vad it is the rate in Hz instead. difficulties: without, what needs a server does not
    apply. exempt: check → why it does not apply to this provider. text: what `make` is given. rate_hz: of the calls.
    """

    kind: Kind
    make: Callable[[Any], object]
    difficulties: Difficulties | None = None
    exempt: Mapping[str, str] = field(default_factory=dict)
    text: str = "what are your opening hours"
    rate_hz: int = 8000


@dataclass(frozen=True)
class Check:
    """One thing that the contract asks for. about: in a sentence. trouble: that the server must be able to make."""

    name: str
    kind: Kind
    about: str
    run: Callable[[Subject], Awaitable[None]]
    trouble: Trouble | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Result:
    """The verdict. why: what went wrong, or why the check does not apply."""

    check: str
    verdict: Literal["passed", "failed", "not applicable"]
    why: str = ""

    def must_pass(self) -> None:
        """Raises NotConforming, for a test, unless it passed or does not apply."""
        if self.verdict == "failed":
            raise NotConforming(f"{self.check}: {self.why}")


async def examine(subject: Subject, check: Check) -> Result:
    """Run one check. Never raises: a provider that raises, hangs or leaves tasks behind has failed."""
    if why := inapplicable(subject, check):
        return Result(check.name, "not applicable", why)
    before = asyncio.all_tasks()
    if subject.difficulties is not None:
        subject.difficulties.clear()
        if check.trouble is not None:
            subject.difficulties.make(check.trouble)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await check.run(subject)
        await _tidy(subject, before)
    except NotConforming as error:
        return Result(check.name, "failed", str(error))
    except TimeoutError:
        return Result(check.name, "failed", f"it was not over within {PATIENCE_S:g} s")
    except Exception as error:  # the provider's own code: that is what is found out here
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return Result(check.name, "failed", f"it raised {what}. Only ProviderError may leave it.")
    finally:
        if subject.difficulties is not None:
            subject.difficulties.clear()
    return Result(check.name, "passed")


def inapplicable(subject: Subject, check: Check) -> str:
    """Why a check does not apply to a provider, "" if it does."""
    if check.name in subject.exempt:
        return subject.exempt[check.name]
    if check.trouble is None:
        return ""
    if subject.difficulties is None:
        return "no server"
    if check.trouble not in subject.difficulties.troubles:
        return f"its server cannot be {check.trouble}"
    return ""


def require(fact: bool, what: str) -> None:
    """What a check asserts. what: said if it is not so."""
    if not fact:
        raise NotConforming(what)


async def let_go(provider: object) -> None:
    """Close a provider that has something to close."""
    if (close := getattr(provider, "aclose", None)) is not None:
        await close()


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that must come about soon."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + TIDY_S
    while not true():
        require(loop.time() < limit, what)
        await asyncio.sleep(0.005)


async def quickly(what: str, once: Callable[[], Awaitable[float]]) -> None:
    """once() measures how long it took until control was back, in s; the best of three must be within 50 ms."""
    took = [await once() for _ in range(TRIES)]
    require(
        min(took) <= CANCEL_S, f"{what} took {min(took) * 1000:.0f} ms, {CANCEL_S * 1000:.0f} are allowed"
    )


async def failure(run: Callable[[], Awaitable[object]]) -> ProviderError:
    """The ProviderError that must come of this."""
    try:
        result = await run()
    except ProviderError as error:
        return error
    raise NotConforming(f"there was no ProviderError but {result!r}")


def without_secret(error: BaseException, secret: str) -> None:
    """Neither the error nor what a traceback of it would print may hold the key."""
    shown = "".join(traceback.format_exception(error))
    require(secret not in str(error), f"the error quotes the key: {str(error).replace(secret, '<the key>')}")
    require(
        secret not in shown, "a traceback quotes the key: raise it `from None`, or mask what it comes from"
    )


async def _tidy(subject: Subject, before: set[asyncio.Task[Any]]) -> None:
    """No request goes on and no task is left."""
    if (server := subject.difficulties) is not None:
        await until(lambda: not server.running, "its request went on after it was let go")
    await until(lambda: not _left(before), f"it left tasks behind: {', '.join(_left(before))}")


def _left(before: set[asyncio.Task[Any]]) -> list[str]:
    mine = asyncio.current_task()
    return sorted(task.get_name() for task in asyncio.all_tasks() - before if task is not mine)

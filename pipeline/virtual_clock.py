"""An event loop whose time jumps to the next timer instead of waiting: a minute of conversation in milliseconds.

For tests (through pipeline.testing) and for replay. Only what happens on the loop exists: a job in a thread is waited
for and takes no time, sockets do not wake it. What must wait for the world says so with `outside`; for code that does
not say so there is `outside_if_open`. Not a media clock: `ticks` is for tests, replay has its own."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """A selector that never waits: it moves the clock forward by what it was told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.outside = 0  # how many wait for something that is not on the loop
        self.frozen = 0  # and of these, so that their waiting takes no time
        self.perhaps = 0  # how many may wait for whatever is open beside the loop's own
        self.own = 0  # files that the loop has open for itself
        self.seen: float | None = None  # the real time that is counted from, while it counts, s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.outside or (self.perhaps and len(self.get_map()) > self.own):
            if timeout != 0:
                return self._wait(timeout)
        else:
            self.seen = None
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError(
                "every task waits for something that no timer will bring: it would hang here for ever."
            )
        self.now += max(0.0, timeout)
        return ready

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """As on a real clock, on which computing takes time as well; a timer that falls due moves the time also while
        it is frozen."""
        began = time.monotonic()
        if self.seen is not None and not self.frozen:
            self.now += began - self.seen
            timeout = None if timeout is None else max(0.0, timeout - (began - self.seen))
        ready = super().select(timeout)
        self.seen = time.monotonic()
        if not ready and timeout is not None:
            self.now += timeout
        elif not self.frozen:
            took = self.seen - began
            self.now += took if timeout is None else min(took, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio with virtual time, starting at 0.0 s."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self._jumping.own = len(self._jumping.get_map())

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]  # asyncio's stub knows TypeVarTuple, its callers do not care
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """The job is done when this returns, in no time: threads would come back whenever they like."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args) if executor is None else executor.submit(func, *args).result())
        except StopIteration as error:  # a future cannot carry it
            done.set_exception(RuntimeError(f"a job in a thread raised {error!r}"))
        except Exception as error:  # whatever the job raises is for whoever waits for it
            done.set_exception(error)
        return done

    @contextmanager
    def waiting_outside(self, *, frozen: bool) -> Iterator[None]:
        """See `outside`."""
        self._jumping.seen = self._jumping.seen or time.monotonic()
        self._jumping.outside += 1
        self._jumping.frozen += frozen
        try:
            yield
        finally:
            self._jumping.outside -= 1
            self._jumping.frozen -= frozen

    @contextmanager
    def perhaps_waiting_outside(self) -> Iterator[None]:
        """See `outside_if_open`."""
        self._jumping.perhaps += 1
        try:
            yield
        finally:
            self._jumping.perhaps -= 1


@contextmanager
def outside(*, frozen: bool = False) -> Iterator[None]:
    """Meanwhile a virtual clock waits for sockets and threads as a real one does; a real one does so anyway.

    frozen: what they take does not count. Runs that use it are not the same twice."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        with loop.waiting_outside(frozen=frozen):
            yield
    else:
        yield


@contextmanager
def outside_if_open() -> Iterator[None]:
    """As `outside`, but only while a socket, pipe or process is open on the loop: for code of other people, which
    waits for the world or does not. Without any of these a run stays the same every time."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        with loop.perhaps_waiting_outside():
            yield
    else:
        yield


def keep_step(loop: asyncio.AbstractEventLoop, job: Future[Any]) -> None:
    """A thread does this job for the loop: on a virtual clock, wait for it now."""
    if isinstance(loop, VirtualLoop):
        job.result()


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` to its end on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def on_virtual_clock(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test a plain one that runs on a virtual clock. Fixtures are handed on, if they are plain too."""

    @wraps(test)
    def plain(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(lambda: test(*args, **kwargs))

    return plain


async def ticks(
    seconds: float, step: Callable[[float], object], *, until: Awaitable[object] | None = None
) -> None:
    """Call step(now) every 20 ms for `seconds`, as the media clock does; stop early when `until` is done."""
    loop = asyncio.get_running_loop()
    done = asyncio.ensure_future(until) if until is not None else None
    base = loop.time()
    for tick in range(round(seconds * 50)):
        await asyncio.sleep(max(0.0, base + tick * 0.02 - loop.time()))
        if done is not None and done.done():
            return
        step(loop.time())

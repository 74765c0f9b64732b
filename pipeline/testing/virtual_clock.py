"""An event loop whose time jumps to the next timer instead of waiting: a minute of conversation in milliseconds.

Use `run(main)` where a test would use asyncio.run, or `@on_virtual_clock` on an async test. Sockets and threads do not
wake it while it jumps: only what happens on the loop exists."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """A selector that never waits: it moves the clock forward by what it was told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError(
                "every task waits for something that no timer will bring: the test hangs here."
            )
        self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio with virtual time, starting at 0.0 s."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


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

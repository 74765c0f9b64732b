"""A virtual clock for tests with sockets: time jumps to the next timer, but only once the sockets have been quiet.

For a client and a server on one loop. Loopback delivers at once, so a delay that the server sleeps costs no real time
and figures are exact; the short real wait before a jump is for the odd helper thread."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

QUIET_S = 0.0005  # real time before a short jump
QUIET_LONG_S = 0.15  # and before a long one, such as a timeout's
STUCK_S = 20.0


class _Patient(selectors.DefaultSelector):
    """Waits a moment for sockets before it lets the clock jump."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None:
            if ready := super().select(STUCK_S):
                return ready
            raise RuntimeError("every task waits for something that does not come: the test hangs here.")
        ready = super().select(min(QUIET_LONG_S, max(QUIET_S, timeout / 40)))
        if not ready:
            self.now += timeout
        return ready


class PatientLoop(asyncio.SelectorEventLoop):
    """asyncio with virtual time, starting at 0.0 s."""

    def __init__(self) -> None:
        self._patient = _Patient()
        super().__init__(self._patient)

    def time(self) -> float:
        return self._patient.now


def on_patient_clock(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test a plain one on a patient virtual clock. Fixtures are handed on, if they are plain too."""

    @wraps(test)
    def plain(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=PatientLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return plain

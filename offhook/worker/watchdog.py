"""Who keeps the clock waiting: a thread that looks whether the loop still turns, and where it hangs if not.

Code that blocks a loop (an agent's `time.sleep`, a request without `await`) takes the sound from every call of its
process. After 100 ms its stack goes to the switch, while it is still at it, and how long it took once it is over. Whose
call it was is known from the task that runs. What becomes of a worker that does not come back is the switch's business
(switch/recovery.py)."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any, Final
from weakref import WeakKeyDictionary

from offhook.link import LoopBlocked
from offhook.whose import CALL

BEAT_S: Final = 0.02
BLOCKED_S: Final = 0.1
LOOK_EVERY_S: Final = 0.025
DEEPEST: Final = 40  # lines of a stack


class Owners:
    """Which call a task belongs to: that in whose context it was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._of: WeakKeyDictionary[asyncio.Future[Any], str] = WeakKeyDictionary()
        self._make = loop.get_task_factory()
        loop.set_task_factory(self._factory)

    def of(self, task: asyncio.Task[Any] | None) -> str:
        """Its call's id, "" if it is nobody's."""
        return self._of.get(task, "") if task is not None else ""

    def _factory(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **how: Any,
    ) -> asyncio.Future[Any]:
        task = self._make(loop, work, **how) if self._make else asyncio.Task(work, loop=loop, **how)
        if call_id := CALL.get():
            self._of[task] = call_id
        return task


class Watchdog:
    """Of one loop. send: puts a message on the link, called in another thread while the loop stands still; False if it
    did not leave."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[LoopBlocked], bool]) -> None:
        self._loop, self._send = loop, send
        self._owners = Owners(loop)
        self._watched = threading.get_ident()
        self._beat = time.monotonic()
        self._beating: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """From the loop's own thread."""
        self._step()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._beating is not None:
            self._beating.cancel()

    def _step(self) -> None:
        self._beat = time.monotonic()
        self._beating = self._loop.call_later(BEAT_S, self._step)

    def _watch(self) -> None:
        reported = 0.0  # the beat before the block that was reported
        found = ("", "")
        while not self._over.wait(LOOK_EVERY_S):
            beat = self._beat
            if reported and beat != reported:
                self._tell(*found, beat - reported, over=True)
                reported = 0.0
            if not reported and (blocked_s := time.monotonic() - beat) > BLOCKED_S + BEAT_S:
                found = self._where()
                if found[1] and self._tell(*found, blocked_s, over=False):
                    reported = beat

    def _where(self) -> tuple[str, str]:
        """(whose call, where the loop's thread is)."""
        frame = sys._current_frames().get(self._watched)
        if frame is None or _waits(frame):
            return "", ""
        call_id = self._owners.of(asyncio.current_task(self._loop))
        return call_id, "".join(traceback.format_stack(frame)[-DEEPEST:])

    def _tell(self, call_id: str, stack: str, took_s: float, *, over: bool) -> bool:
        took_ms = round(took_s * 1000)
        return self._send(LoopBlocked(call_id=call_id, blocked_ms=took_ms, over=over, stack=stack))


def _waits(frame: FrameType) -> bool:
    """It is in nobody's code: the machine had no time for the loop, which is lateness and no block."""
    return frame.f_code.co_filename.endswith(("asyncio/runners.py", "uvloop/__init__.py", "selectors.py"))

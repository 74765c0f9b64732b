"""Whose code runs: marks it in the call's vitals, so that the switch knows which call took a worker down with it.

A segfault leaves no trace in Python; a byte in memory that outlives the process does. Every step of a call's tasks is
marked, through the loop's task factory; its ticks are marked by its stream. Not what follows from it
(switch/recovery.py)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from typing import Any

from telephony.media.vitals import Vitals

_CALL: contextvars.ContextVar[Vitals | None] = contextvars.ContextVar("call", default=None)


def context_of(vitals: Vitals) -> contextvars.Context:
    """For the first task of a call: what it starts is marked too."""
    context = contextvars.copy_context()
    context.run(_CALL.set, vitals)
    return context


def marking_tasks(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **how: Any,
) -> asyncio.Task[Any]:
    """A task factory: tasks of calls are marked while they run."""
    context: contextvars.Context | None = how.get("context")
    vitals = context.get(_CALL) if context is not None else _CALL.get()
    if vitals is not None and isinstance(work, Coroutine):
        work = _Marked(work, vitals)
    return asyncio.Task(work, loop=loop, **how)


class _Marked(Coroutine[Any, Any, Any]):
    """A coroutine that leaves a mark while it runs."""

    def __init__(self, work: Coroutine[Any, Any, Any], vitals: Vitals) -> None:
        self._work, self._vitals = work, vitals
        self.__name__ = getattr(work, "__name__", "")
        self.__qualname__ = getattr(work, "__qualname__", "")

    @property
    def cr_code(self) -> Any:
        return getattr(self._work, "cr_code", None)

    @property
    def cr_frame(self) -> Any:
        return getattr(self._work, "cr_frame", None)

    @property
    def cr_running(self) -> bool:
        return bool(getattr(self._work, "cr_running", False))

    @property
    def cr_await(self) -> Any:
        return getattr(self._work, "cr_await", None)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()

    def send(self, value: Any) -> Any:
        self._vitals.act(True)
        try:
            return self._work.send(value)
        finally:
            self._vitals.act(False)

    def throw(self, *error: Any) -> Any:
        self._vitals.act(True)
        try:
            return self._work.throw(*error)
        finally:
            self._vitals.act(False)

    def close(self) -> None:
        self._work.close()

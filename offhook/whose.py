"""Whose code runs: the call that a task or a tick works for.

Set where a call's work begins; tasks inherit it. Logs name it in every line (logs.py), the watchdog in every report
(worker/watchdog.py)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

CALL: Final[ContextVar[str]] = ContextVar("CALL", default="")

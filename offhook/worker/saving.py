"""A conversation's checkpoints on their way to the switch: only what is new of the history, as one line.

Driven by bridge.py, which is told by the session after every step that matters. Not what a checkpoint is
(pipeline/resuming.py), nor who keeps it (switch/active.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

from offhook.link import Checkpoint, Message, StartCall


class Saver:
    """One call's. A message of the history that gives the same object as last time is not sent again."""

    def __init__(self, call_id: str, send: Callable[[Message], None]) -> None:
        self._call_id, self._send = call_id, send
        self._sent: list[Any] = []

    def save(self, state: dict[str, Any]) -> None:
        """What an author put into userdata and JSON does not know is left behind."""
        history, sent = state["history"], self._sent
        kept = 0
        for row, known in zip(history, sent, strict=False):
            if row is not known:
                break
            kept += 1
        sent[kept:] = history[kept:]
        rest = {name: value for name, value in state.items() if name != "history"}
        self._send(
            Checkpoint(
                call_id=self._call_id,
                state=json.dumps(rest, default=_plain),
                kept=kept,
                added=[json.dumps(row, default=_plain) for row in history[kept:]],
            )
        )


def saved_state(start: StartCall) -> dict[str, Any]:
    """The last checkpoint of the worker before us; empty if there was none."""
    if not start.state:
        return {}
    state: dict[str, Any] = json.loads(start.state)
    return {**state, "history": [json.loads(row) for row in start.history]}


def _plain(value: object) -> object:
    """What JSON does not know: models and dataclasses as their fields, the rest as nothing."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else None

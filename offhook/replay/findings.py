"""What can be different between two calls and how bad that is; and what is different about tools.

Pure. Driven by compare.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from offhook.replay.checking import plain
from offhook.replay.turns import ToolUse, Turn

SEVERITY = {
    "tool failed": 95,
    "provider failed": 90,
    "handoff missing": 88,
    "tool missing": 86,
    "ending": 84,
    "answer missing": 82,
    "cut in": 80,
    "turn missing": 75,
    "tool arguments": 72,
    "handoff new": 70,
    "barge-in lost": 66,
    "slower": 60,
    "slow turn": 50,
    "silence": 48,
    "understood": 45,
    "turn new": 42,
    "answer": 40,
    "tool new": 38,
    "tool moved": 37,
    "keys": 36,
    "tool result": 30,
    "barge-in new": 25,
    "faster": 0,
    "better": 0,
}
"""What a finding is worth: a broken tool before a slow answer before other words. 0 is no regression."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as the same. A delay has changed if it differs by more than `delay_ms` and by more than `share` of
    what it was; one turn alone by `turn_ms`. likeness: of two answers, 1.0 for the same words."""

    delay_ms: float = 100.0
    turn_ms: float = 300.0
    share: float = 0.1
    silence_s: float = 1.0
    likeness: float = 1.0


class Finding(NamedTuple):
    """One thing that is different. turn, at_s: in the call now, None if it is not in it. tool: if it is about one."""

    kind: str
    text: str
    turn: int | None = None
    at_s: float | None = None
    tool: str = ""

    @property
    def severity(self) -> int:
        return SEVERITY[self.kind]

    @property
    def regression(self) -> bool:
        return self.severity > 0


class Pair(NamedTuple):
    """A turn now and in the baseline; None where the other call has no such turn."""

    now: Turn | None
    before: Turn | None

    @property
    def alike(self) -> bool:
        """The same words on both sides."""
        if self.now is None or self.before is None:
            return False
        return plain(self.now.text) == plain(self.before.text) and plain(self.now.answer) == plain(
            self.before.answer
        )


# ---------------------------------------------------------------- tools


def changed_tools(now: Turn, before: Turn) -> Iterator[Finding]:
    """What is different about the tools of one turn: by name, then by order."""
    left = list(now.tools)
    for old in before.tools:
        same = [tool for tool in left if tool.name == old.name]
        if not same:
            yield tool_missing(old, now)
            continue
        new = next((tool for tool in same if tool.arguments == old.arguments), same[0])
        left.remove(new)
        yield from _tool_changed(new, old, now.number)
    yield from (tool_new(now, tool) for tool in left)


def _tool_changed(new: ToolUse, old: ToolUse, turn: int) -> Iterator[Finding]:
    if old.ok and not new.ok:
        verb = "never finishes" if new.ok is None else "fails"
        yield Finding(
            "tool failed", f"tool {new.name} now {verb}: {_short(new.result)}", turn, new.start_s, new.name
        )
    elif new.ok and not old.ok:
        yield Finding("better", f"tool {new.name} works again", turn, new.start_s, new.name)
    elif new.result != old.result:
        text = f"tool {new.name} now gives {_short(new.result)}, before {_short(old.result)}"
        yield Finding("tool result", text, turn, new.start_s, new.name)
    if new.arguments != old.arguments:
        text = f"tool {new.name} is called with {_arguments(new)}, before with {_arguments(old)}"
        yield Finding("tool arguments", text, turn, new.start_s, new.name)


def tool_missing(tool: ToolUse, turn: Turn | None) -> Finding:
    """A tool of the baseline that nobody called. turn: where it should have been, None if that is gone too."""
    text = f"tool {tool.name} is no longer called"
    number, at_s = (turn.number, turn.end_s) if turn else (None, None)
    return Finding("tool missing", text, number, at_s, tool.name)


def tool_new(turn: Turn, tool: ToolUse) -> Finding:
    """A tool that the baseline did not call."""
    text = f"tool {tool.name} is called now, {_arguments(tool)}"
    return Finding("tool new", text, turn.number, tool.start_s, tool.name)


def _arguments(tool: ToolUse) -> str:
    if not isinstance(tool.arguments, dict):
        return f"({tool.arguments})"
    return "(" + ", ".join(f"{key}={value!r}" for key, value in tool.arguments.items()) + ")"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def moved_tools(found: list[Finding], now: list[ToolUse], before: list[ToolUse]) -> list[Finding]:
    """A tool that is called as often as before, but in another turn, is one finding and not two.

    found: of all turns. now, before: the tools of the two calls."""
    for name in {tool.name for tool in now}:
        if [tool.name for tool in now].count(name) != [tool.name for tool in before].count(name):
            continue
        gone = [finding for finding in found if finding.kind == "tool missing" and finding.tool == name]
        come = [finding for finding in found if finding.kind == "tool new" and finding.tool == name]
        for missing, new in zip(gone, come, strict=False):
            found = [finding for finding in found if finding not in (missing, new)]
            text = f"tool {name} is called in another turn than before ({new.turn})"
            found.append(Finding("tool moved", text, new.turn, new.at_s, name))
    return found

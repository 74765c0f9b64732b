"""A call as spans for tracing: what its journal says, in the words of OpenTelemetry.

`call` holds a `user_turn` for each time the caller was owed an answer, from their first sound to the first packet of
the answer; in it `stt`, `llm` and `tts` follow each other as the response delay was made up, and `tool` lies where the
tool ran. Pure, after the call is over: nothing of it is on a call's path. Sending is traces.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | bool | int | float

NS: Final = 1_000_000_000
NOTED: Final = {  # events of a call that stand in its span, with the fields that say no words
    "CallTakenOver": ("worker", "by", "noticed_after_ms"),
    "CallHandedOver": ("worker", "by"),
    "LoopBlocked": ("worker", "blocked_ms"),
    "ProviderFailed": ("provider", "kind", "cause"),
    "ProviderSwitched": ("kind", "old", "new", "cause"),
    "CallerInterrupted": (),
    "AgentEntered": ("agent", "came_from"),
}
STAGES: Final = (("stt", "stt_ms"), ("llm", "llm_ms"), ("tool", "tool_ms"), ("tts", "tts_ms"))


@dataclass(slots=True)
class Span:
    """One stretch of time, ns since 1970. parent: its place in the list, None for the call. notes: what happened in
    it, when, with details."""

    name: str
    start: int
    end: int
    parent: int | None = None
    attributes: dict[str, Value] = field(default_factory=dict)
    notes: list[tuple[int, str, dict[str, Value]]] = field(default_factory=list)
    failed: str = ""  # why, if it did


class Wall:
    """Loop time of a journal as wall time: its first line has both."""

    def __init__(self, first: Mapping[str, Any]) -> None:
        at, wall = float(first["at"]), datetime.fromisoformat(str(first["wall"]))
        self._offset_ns = round(wall.timestamp() * NS) - round(at * NS)

    def ns(self, at: float) -> int:
        """at: loop time, s."""
        return round(at * NS) + self._offset_ns


def spans_of(facts: Mapping[str, Any], events: Sequence[Mapping[str, Any]], words: bool) -> list[Span]:
    """The call first. facts: call.json. words: with what was said. No spans of a journal that is empty."""
    timed = [event for event in events if "at" in event]
    if not timed or "wall" not in timed[0]:
        return []
    wall = Wall(timed[0])
    known = ("direction", "agent", "trunk", "cause", "code", "ended_by", "takeovers")
    call = Span("call", wall.ns(timed[0]["at"]), wall.ns(timed[-1]["at"]), None, _plain(facts, known))
    spans = [call]
    spoke_since: float | None = None
    turn: int | None = None  # that waits for its answer
    tools: dict[str, int] = {}
    for event in timed:
        kind, at = event.get("type"), float(event["at"])
        if kind in NOTED:
            call.notes.append((wall.ns(at), str(kind), _plain(event, NOTED[str(kind)])))
        match kind:
            case "CallerStartedSpeaking" if spoke_since is None:
                spoke_since = float(event.get("since", at))
            case "UserTurnCommitted":
                begun = spoke_since if spoke_since is not None else float(event.get("spoke_until", at))
                facts_of = (
                    "by",
                    "understood",
                    "confidence",
                    "waited_ms",
                    "stt_ms",
                    *(("text",) if words else ()),
                )
                spans.append(Span("user_turn", wall.ns(begun), wall.ns(at), 0, _plain(event, facts_of)))
                turn, spoke_since = len(spans) - 1, None
            case "AgentStartedSpeaking" if turn is not None and event.get("response_delay_ms") is not None:
                _answered(spans, turn, event, wall)
                turn = None
            case "ToolCalled":
                given = ("name", *(("arguments",) if words else ()))
                spans.append(Span("tool", wall.ns(at), wall.ns(at), turn or 0, _plain(event, given)))
                tools[str(event.get("id"))] = len(spans) - 1
            case "ToolFinished" if (number := tools.pop(str(event.get("id")), None)) is not None:
                spans[number].end = wall.ns(at)
                spans[number].failed = "" if event.get("ok", True) else "the tool failed"
    return spans


def _answered(spans: list[Span], turn: int, event: Mapping[str, Any], wall: Wall) -> None:
    """The first packet of the answer left: the delay's parts, one after the other."""
    at = float(event["at"])
    delay = ("response_delay_ms", "waited_ms", "own_ms")
    spans[turn].end = max(spans[turn].end, wall.ns(at))
    spans[turn].attributes |= _plain(event, delay)
    begins = at - (float(event["response_delay_ms"]) - float(event.get("waited_ms", 0.0))) / 1000
    for name, part in STAGES:
        took_s = float(event.get(part, 0.0)) / 1000
        if took_s and name != "tool":  # that one has a span of its own
            spans.append(Span(name, wall.ns(begins), wall.ns(begins + took_s), turn))
        begins += took_s


def _plain(source: Mapping[str, Any], names: Iterable[str]) -> dict[str, Value]:
    return {name: value for name in names if isinstance(value := source.get(name), str | bool | int | float)}

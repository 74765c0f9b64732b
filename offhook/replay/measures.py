"""What a call was like, in numbers: its turns with their delays, who talked over whom, silences, tools, handoffs.

Reads a bundle's journal only, live or replayed, so that both are measured alike. Not the sound itself: who spoke
when is what the pipeline noticed. Driven by expectations, comparison and report.

Time is in s from the moment the call was answered, which is where audio.wav begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from offhook.bundle import Record, number
from offhook.replay.timeline import Silence, Span, overlaps, silences, total_s
from offhook.replay.turns import CutIn, Delay, Handoff, Key, ToolUse, Turn, read_turns

SILENCE_S = 2.0
"""A gap that both sides notice: four times what callers leave between turns on the phone."""


class Spread(NamedTuple):
    """How `size` values lie: never an average. Percentiles are by nearest rank, so each is a value that occurred."""

    size: int
    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None if there are no values."""
        ordered = sorted(values)
        if not ordered:
            return None
        p50, p95 = (ordered[max(0, ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95))
        return cls(len(ordered), p50, p95, ordered[-1])


@dataclass(frozen=True, slots=True)
class CallMeasures:
    """One call. name: of the recording that was replayed, else the call's id.

    talk_ratio: the agent's share of all speech, None if nobody spoke. cut_ins: the agent began while the caller was
    not done. barge_ins: when the caller took the floor from the agent. ended_by, cause: see docs/reference.md.
    """

    name: str
    id: str
    path: Path
    facts: dict[str, Any]
    damage: tuple[str, ...]
    length_s: float
    turns: tuple[Turn, ...]
    caller_speech: tuple[Span, ...]
    agent_speech: tuple[Span, ...]
    overlaps: tuple[Span, ...]
    silences: tuple[Silence, ...]
    cut_ins: tuple[CutIn, ...]
    barge_ins: tuple[float, ...]
    keys: tuple[Key, ...]
    failures: tuple[str, ...]
    ended_by: str
    cause: str

    @property
    def delays(self) -> list[Delay]:
        """Every answer that somebody waited for, in order."""
        return [turn.delay for turn in self.turns if turn.delay is not None]

    @property
    def response_delay_ms(self) -> Spread | None:
        return Spread.of(delay.total_ms for delay in self.delays)

    @property
    def tools(self) -> list[ToolUse]:
        return [tool for turn in self.turns for tool in turn.tools]

    @property
    def handoffs(self) -> list[Handoff]:
        return [handoff for turn in self.turns for handoff in turn.handoffs]

    @property
    def pressed(self) -> str:
        """All keys of the call, one after the other."""
        return "".join(key.digit for key in self.keys)

    @property
    def longest_silence(self) -> Silence | None:
        """However short; None if somebody always spoke."""
        every = silences(self.caller_speech, self.agent_speech, self.length_s, 0.0)
        return max(every, key=lambda silence: silence.length_s, default=None)

    @property
    def longest_silence_s(self) -> float:
        longest = self.longest_silence
        return round(longest.length_s, 3) if longest else 0.0

    @property
    def talk_ratio(self) -> float | None:
        agent, caller = total_s(self.agent_speech), total_s(self.caller_speech)
        return round(agent / (agent + caller), 3) if agent + caller else None

    def said(self, side: str) -> str:
        """What one side said in the whole call, a line a turn: "caller" as understood, "agent" as heard."""
        if side == "caller":
            return "\n".join(turn.text for turn in self.turns if turn.text)
        return "\n".join(reply.text for turn in self.turns for reply in turn.replies if reply.text)

    def story(self) -> str:
        """What happened, one line an item, for a judge and for people."""
        lines = []
        for turn in self.turns:
            if turn.number:
                lines.append(f'caller: "{turn.text}"' + ("" if turn.understood else " (not understood)"))
            lines += [line for _, line in sorted(turn.deeds(), key=lambda deed: deed[0])]
        return "\n".join([*lines, f"over: {self.cause or self.ended_by or 'nobody said why'}"])


def measure(bundle: Record | Path, *, silence_s: float = SILENCE_S) -> CallMeasures:
    """Measure one call. silence_s: how long nobody speaks before it counts. Raises BundleError if it is no bundle."""
    record = bundle if isinstance(bundle, Record) else Record.read(bundle)
    # The colleague's line of a consultation is another conversation.
    events = [event for event in record.events if event.get("line") != "consultation"]
    zero = _answered(record.facts, events)
    read = read_turns(events, zero)
    length_s = max((float(event["at"]) - zero for event in events), default=0.0)
    ended_by, cause = _ending(record.facts, events)
    return CallMeasures(
        name=_name(record),
        id=record.id,
        path=record.path,
        facts=record.facts,
        damage=record.damage,
        length_s=round(length_s, 3),
        turns=tuple(read.turns),
        caller_speech=tuple(read.caller_speech),
        agent_speech=tuple(read.agent_speech),
        overlaps=tuple(overlaps(read.caller_speech, read.agent_speech)),
        silences=tuple(silences(read.caller_speech, read.agent_speech, length_s, silence_s)),
        cut_ins=tuple(read.cut_ins),
        barge_ins=tuple(read.barge_ins),
        keys=tuple(read.keys),
        failures=tuple(read.failures),
        ended_by=ended_by,
        cause=cause,
    )


def _answered(facts: dict[str, Any], events: list[dict[str, Any]]) -> float:
    """Loop time at which the recording begins; a replay may say so itself."""
    told = facts.get("replay")
    if isinstance(told, dict) and (given := number(told.get("audio_at"))) is not None:
        return given
    answered = [float(event["at"]) for event in events if event["type"] == "CallAnswered"]
    return answered[0] if answered else float(events[0]["at"]) if events else 0.0


def _ending(facts: dict[str, Any], events: list[dict[str, Any]]) -> tuple[str, str]:
    """Who ended the call and why: call.json, else the journal's last word on it."""
    by, cause = str(facts.get("ended_by") or ""), str(facts.get("cause") or "")
    for event in reversed(events):
        if event["type"] == "CallEnded":
            by, cause = by or str(event.get("by", "")), cause or str(event.get("reason", ""))
        elif event["type"] == "SessionClosed":
            cause = cause or str(event.get("reason", ""))
    return by, cause


def _name(record: Record) -> str:
    told = record.facts.get("replay")
    source = told.get("source") if isinstance(told, dict) else None
    return Path(source).name if isinstance(source, str) and source else record.id

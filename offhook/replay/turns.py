"""A journal as turns: what the caller said, and all that the agent did until the caller's next turn.

Turn 0 is what the agent did before the caller said anything. Pure. Driven by measures.py.

When the agent cut in: a reply began while the caller spoke words, or the caller, who had paused for less than HOLD_S,
went on within CUT_IN_S of its beginning. A person who answers needs longer than that to hear what to answer, so
whoever speaks sooner was not done. Sound without words (a cough, "mhm") never counts."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from offhook.bundle import number
from offhook.replay.timeline import Span

CUT_IN_S = 1.0
HOLD_S = 2.0
GRACE_S = 0.1  # voice activity dates the caller's last speech so exactly
PARTS = ("waited", "stt", "llm", "tool", "tts", "own")


class Delay(NamedTuple):
    """From the caller's last speech to the first packet of the answer, and its parts, in ms."""

    total_ms: float
    waited_ms: float = 0.0
    stt_ms: float = 0.0
    llm_ms: float = 0.0
    tool_ms: float = 0.0
    tts_ms: float = 0.0
    own_ms: float = 0.0

    @property
    def blame(self) -> str:
        """The longest part."""
        return max(PARTS, key=lambda part: float(getattr(self, f"{part}_ms")))


class Reply(NamedTuple):
    """The agent spoke. text: what the caller heard. planned: all of it."""

    agent: str
    text: str
    planned: str
    start_s: float
    end_s: float
    interrupted: bool


class ToolUse(NamedTuple):
    """A tool. arguments: as JSON gave them. ok: None if it never finished."""

    id: str
    name: str
    arguments: Any
    start_s: float
    end_s: float
    ok: bool | None
    result: str


class Handoff(NamedTuple):
    """Another agent took over, or could not (ok False)."""

    at_s: float
    to: str
    came_from: str
    ok: bool = True


class Key(NamedTuple):
    """A DTMF digit arrived."""

    at_s: float
    digit: str


class CutIn(NamedTuple):
    """The agent spoke into the caller's turn. turn: the one whose answer came too early."""

    at_s: float
    turn: int


@dataclass(slots=True)
class Turn:
    """One turn of the caller and what came of it. by: voice, keys or text. start_s, end_s: of the caller's speech."""

    number: int
    text: str = ""
    understood: bool = True
    by: str = ""
    start_s: float = 0.0
    end_s: float = 0.0
    delay: Delay | None = None
    replies: list[Reply] = field(default_factory=list)
    tools: list[ToolUse] = field(default_factory=list)
    handoffs: list[Handoff] = field(default_factory=list)

    @property
    def answer(self) -> str:
        """What the agent had to say, heard or not."""
        return " ".join(reply.planned or reply.text for reply in self.replies).strip()

    def deeds(self) -> Iterator[tuple[float, str]]:
        """What the agent did, each as a line of text with its time."""
        for reply in self.replies:
            cut = " (interrupted)" if reply.interrupted else ""
            yield reply.start_s, f'agent {reply.agent}: "{reply.text}"{cut}'
        for tool in self.tools:
            given = json.dumps(tool.arguments, ensure_ascii=False)
            failed = {True: "", False: " (failed)", None: " (never finished)"}[tool.ok]
            yield tool.start_s, f'tool: {tool.name}({given}) -> "{tool.result}"{failed}'
        for handoff in self.handoffs:
            failed = "" if handoff.ok else " (failed)"
            yield handoff.at_s, f"handoff: {handoff.came_from} -> {handoff.to}{failed}"


@dataclass(slots=True)
class Read:
    """What a journal holds."""

    turns: list[Turn] = field(default_factory=lambda: [Turn(0)])
    caller_speech: list[Span] = field(default_factory=list)
    agent_speech: list[Span] = field(default_factory=list)
    cut_ins: list[CutIn] = field(default_factory=list)
    barge_ins: list[float] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def read_turns(events: Sequence[dict[str, Any]], zero: float) -> Read:
    """Everything in a journal. zero: loop time of the call's beginning, s."""
    reader = _Reader(zero)
    for event in events:
        reader.take(event)
    return reader.done()


class _Reader:
    """Takes one event after the other."""

    def __init__(self, zero: float) -> None:
        self.read = Read()
        self._zero = zero
        self._now = 0.0
        self._caller_since: float | None = None
        self._pending: list[Span] = []  # the caller's speech that no words are known of yet
        self._worded: list[Span] = []
        self._starts: list[tuple[float, int]] = []  # beginnings of replies, and in which turn
        self._agent_since: float | None = None
        self._sound_since: float | None = None  # None while the agent is paused
        self._speaker = ""
        self._interruptions: list[float] = []

    def take(self, event: dict[str, Any]) -> None:
        self._now = self._at(event.get("at"))
        turn = self.read.turns[-1]
        match event["type"]:
            case "CallerStartedSpeaking":
                self._caller_since = self._at(event.get("since"))
            case "CallerStoppedSpeaking":
                self._caller_stops(self._at(event.get("until")))
            case "NothingHeard":
                self._pending.clear()
            case "UserTurnCommitted":
                self._commit(event)
            case "AgentStartedSpeaking":
                self._agent_starts(event, turn)
            case "AgentSpoke":
                self._agent_stops(event)
            case "AgentPaused":
                self._mute()
            case "AgentResumed":
                self._sound_since = self._now if self._agent_since is not None else None
            case "CallerInterrupted":
                self._interruptions.append(self._at(event.get("spoke_since")))
            case "KeyPressed":
                self.read.keys.append(Key(self._now, str(event.get("digit", ""))))
            case "ToolCalled":
                turn.tools.append(_tool(event, self._now))
            case "ToolFinished":
                self._finish_tool(event)
            case "AgentEntered" if event.get("came_from"):
                turn.handoffs.append(Handoff(self._now, str(event.get("agent", "")), str(event["came_from"])))
            case "HandoffFailed":
                turn.handoffs.append(Handoff(self._now, str(event.get("agent", "")), "", False))
            case "ProviderFailed":
                told = [str(event.get(key, "")) for key in ("kind", "provider", "cause")]
                self.read.failures.append(" ".join(told))

    def done(self) -> Read:
        """The call is over, whatever was going on."""
        if self._caller_since is not None:
            self._caller_stops(self._now)
        if self._agent_since is not None:
            self._agent_stops({})
        self._judge_starts()
        return self.read

    # ------------------------------------------------------------ the caller

    def _caller_stops(self, until: float) -> None:
        if self._caller_since is not None and until > self._caller_since:
            span = Span(self._caller_since, until)
            self.read.caller_speech.append(span)
            self._pending.append(span)
        self._caller_since = None

    def _commit(self, event: dict[str, Any]) -> None:
        until = self._at(event.get("spoke_until"))
        spoken = list(self._pending)
        if self._caller_since is not None:  # they go on already, or were cut off by a limit
            spoken.append(Span(self._caller_since, max(until, self._caller_since)))
        self._worded += spoken
        self._pending.clear()
        start = spoken[0].start_s if spoken else until
        turn = Turn(len(self.read.turns), str(event.get("text", "")), bool(event.get("understood", True)))
        turn.by, turn.start_s, turn.end_s = str(event.get("by", "voice")), min(start, until), until
        self.read.turns.append(turn)

    # ------------------------------------------------------------ the agent

    def _agent_starts(self, event: dict[str, Any], turn: Turn) -> None:
        self._agent_since = self._sound_since = self._now
        self._speaker = str(event.get("agent", ""))
        self._starts.append((self._now, turn.number))
        total = number(event.get("response_delay_ms"))
        if total is not None and turn.delay is None:
            turn.delay = Delay(total, *(number(event.get(f"{part}_ms")) or 0.0 for part in PARTS))

    def _mute(self) -> None:
        if self._sound_since is not None and self._now > self._sound_since:
            self.read.agent_speech.append(Span(self._sound_since, self._now))
        self._sound_since = None

    def _agent_stops(self, event: dict[str, Any]) -> None:
        self._mute()
        start = self._now if self._agent_since is None else self._agent_since
        text = str(event.get("text", ""))
        agent = str(event.get("agent", "")) or self._speaker
        planned = str(event.get("planned") or "") or text
        reply = Reply(agent, text, planned, start, self._now, bool(event.get("interrupted", False)))
        self._turn_of(start).replies.append(reply)
        self._agent_since = None

    def _turn_of(self, start: float) -> Turn:
        """The turn in which a reply began: the caller may have said the next thing over its end."""
        begun = [number for since, number in self._starts if since == start]
        return self.read.turns[begun[-1] if begun else -1]

    def _finish_tool(self, event: dict[str, Any]) -> None:
        """The tool may have been called turns ago."""
        for turn in reversed(self.read.turns):
            for place, tool in enumerate(turn.tools):
                if tool.id == event.get("id") and tool.ok is None:
                    ok, result = bool(event.get("ok", False)), str(event.get("result", ""))
                    turn.tools[place] = tool._replace(end_s=self._now, ok=ok, result=result)
                    return

    # ------------------------------------------------------------ who talked over whom

    def _judge_starts(self) -> None:
        spoken = sorted(self._worded)
        early = [CutIn(start, turn) for start, turn in self._starts if _cuts_in(start, spoken)]
        self.read.cut_ins = early
        self.read.barge_ins = [
            at for at in self._interruptions if not any(0 <= at - cut.at_s < CUT_IN_S for cut in early)
        ]

    def _at(self, value: object) -> float:
        """Loop time as time in the call."""
        given = number(value)
        return self._now if given is None else round(given - self._zero, 3)


def _cuts_in(start: float, spoken: Sequence[Span]) -> bool:
    """Did an agent who began at `start` talk into what the caller was saying? spoken: with words, in order."""
    place = bisect_right(spoken, (start, float("inf")))
    before = spoken[place - 1] if place else None
    after = spoken[place] if place < len(spoken) else None
    if before is not None and before.start_s + GRACE_S <= start <= before.end_s - GRACE_S:
        return True
    held = before is not None and start - before.end_s < HOLD_S
    return held and after is not None and after.start_s - start < CUT_IN_S


def _tool(event: dict[str, Any], now: float) -> ToolUse:
    raw = event.get("arguments", "")
    try:
        arguments = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        arguments = raw  # a model wrote what is no JSON: shown as it stands
    return ToolUse(str(event.get("id", "")), str(event.get("name", "")), arguments, now, now, None, "")

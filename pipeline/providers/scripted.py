"""A language model without a model: intents from the dial plan, answered word by word. `scripted`.

It keeps nothing between requests: which intent came last, how often the caller was not understood and which
of several answers is next are read from the messages, so a call continues after a crash and replays the same.
Not a judge of sound: whether words were heard well is the recogniser's say (`Message.understood`). Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.agent.history import Message, ToolRequest
from pipeline.hearing import slots
from pipeline.ports import Expecting, LlmDelta, TextDelta, ToolCall, ToolSpec
from pipeline.providers.script_model import (
    DEFAULT_ELSE,
    DEFAULT_GOODBYE,
    DEFAULT_NOT_UNDERSTOOD,
    Intent,
    Script,
    Step,
    phrases_of,
    read_script,
)

__all__ = ["ScriptedLlm", "phrases_of"]

HAND_OVER = "hand_over"
COLLECT = "collect"
BRIEFING = "connect_caller"  # a tool that is offered only while a colleague is asked to take a caller over
TEXT_SHARE = 0.34  # so much of what was said must belong to the phrase: "no, my bill ..." is not a "no"
LONGEST_SLOT = 12  # words

# Words that carry little meaning weigh a quarter; in languages other than English all words weigh the same.
_LIGHT = frozenset((
    "a", "about", "am", "an", "and", "are", "at", "be", "but", "can", "could", "did", "do", "does",
    "er", "for", "has", "have", "hello", "hey", "hi", "i", "in", "is", "it", "just", "like", "me",
    "my", "of", "on", "or", "our", "please", "so", "that", "the", "there", "this", "to", "uh", "um",
    "us", "want", "was", "we", "well", "will", "with", "would", "you", "your",
))  # fmt: skip
_LIGHT_WEIGHT = 0.25
_WORD = re.compile(r"\S+\s*")
_PLACE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")


@dataclass(slots=True)
class _State:
    """What the messages say about the dialogue so far. pending: what the caller said, not answered yet."""

    last: Intent | None = None
    values: dict[str, str] = field(default_factory=dict)
    misses: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    pending: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrase ready for comparison. literal: its words; open: its slots, as `{digits:4}` → value name."""

    text: str
    literal: tuple[str, ...]
    open: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> _Phrase:
        literal = [piece for piece in slots.parse(text) if isinstance(piece, str)]
        open_: list[tuple[str, str]] = []
        for piece in slots.parse(text):
            if isinstance(piece, slots.Slot):
                nth = sum(name.startswith(piece.kind) for _, name in open_) + 1
                inside = piece.kind if piece.count is None else f"{piece.kind}:{piece.count}"
                open_.append((f"{{{inside}}}", piece.kind if nth == 1 else f"{piece.kind}_{nth}"))
        return cls(text, tuple(literal), tuple(open_))


class ScriptedLlm:
    """Answers from a script (ports.Llm).

    script: as in script_model.py. threshold: how much of a phrase a text must contain when it is not the
    phrase word by word, 0.0 to 1.0. Raises ConfigError if the script is wrong.
    """

    name = "scripted"
    improvises = False  # it knows its lines and nothing else: tasks understand by rules alone

    def __init__(self, script: Mapping[str, Any] | Script | None = None, *, threshold: float = 0.75) -> None:
        self._script = read_script(script)
        self._threshold = float(threshold)
        self._phrases = {
            intent.name: [_Phrase.read(text) for text in intent.phrases] for intent in self._script.intents
        }

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]:
        """The reply to the newest message: text word by word, then at most one tool call."""
        for delta in self.reply(messages, {tool.name for tool in tools}):
            if not (isinstance(delta, ToolCall) and tool_choice == "none"):
                yield delta

    def reply(self, messages: Sequence[Message], offered: set[str]) -> Iterator[LlmDelta]:
        """As chat, all at once. offered: names of the tools that may be called."""
        if BRIEFING in offered:
            return  # the lines are for callers; to a colleague the briefing has its own
        state = self._state(messages)
        if (collected := _collected(messages)) is not None:
            yield from self._after_collecting(messages, *collected)
        elif messages and messages[-1].role == "tool":
            yield from self._after_tool(messages, state)
        elif state.pending:
            yield from self._answer(messages, state, offered)

    # ------------------------------------------------------------ what the messages say

    def _state(self, messages: Sequence[Message]) -> _State:
        """Walk the messages as if they were happening. Another agent taking over begins a new dialogue."""
        state = _State()
        speaker = collecting = (
            ""  # collecting: who waits for a task; what is said meanwhile is the task's business
        )
        for message in messages:
            if collecting and message.agent != collecting:
                continue
            collecting = message.agent if _collects(message) else ""
            if message.role == "user":
                state.pending.append(message)
            elif message.role == "assistant":
                if message.agent and speaker and message.agent != speaker:
                    state = _State(pending=state.pending)
                speaker = message.agent or speaker
                if state.pending:
                    self._settle(state)
                if any(call.name == HAND_OVER for call in message.tool_calls):
                    state = _State()
        return state

    def _settle(self, state: _State) -> None:
        """The pending words have been answered: note with which intent."""
        found = self._find(state)
        if found is None:
            state.misses += 1
        else:
            state.last, state.values = found
            state.misses = 0
            state.answered[state.last.name] += 1
        state.pending = []

    # ------------------------------------------------------------ replies

    def _answer(self, messages: Sequence[Message], state: _State, offered: set[str]) -> Iterator[LlmDelta]:
        found = self._find(state)
        if found is None:
            yield from self._not_understood(messages, state, offered)
            return
        intent, values = found
        yield from _say(_in_turn(intent.say, state.answered[intent.name]), values)
        if intent.collect:
            yield _call(messages, COLLECT, {"intent": intent.name})
        elif intent.tool:
            arguments = {key: _fill(text, values) for key, text in intent.arguments.items()}
            yield _call(messages, intent.tool, arguments)
        else:
            if intent.expects:
                yield Expecting(intent.expects)
            yield from _act(messages, intent)

    def _not_understood(
        self, messages: Sequence[Message], state: _State, offered: set[str]
    ) -> Iterator[LlmDelta]:
        """Ask again in other words; every max_not_understood-th time in a row give up."""
        misses = state.misses + 1
        step = self._script.give_up
        if step is None and "hang_up" in offered:
            step = Step(say=(DEFAULT_GOODBYE,), hang_up=True)
        if step is not None and misses % self._script.max_not_understood == 0:
            yield from _say(_in_turn(step.say, misses // self._script.max_not_understood - 1), {})
            yield from _act(messages, step)
            return
        yield from _say(_in_turn(self._script.not_understood, misses - 1) or DEFAULT_NOT_UNDERSTOOD, {})

    def _after_collecting(
        self, messages: Sequence[Message], request: ToolRequest, answer: Message
    ) -> Iterator[LlmDelta]:
        """The caller was asked for something: pass it on, or say what the intent has for that."""
        name = json.loads(request.arguments).get("intent")
        intent = next((intent for intent in self._script.intents if intent.name == name), None)
        if intent is None:
            return
        if not answer.ok:
            yield from _say(_in_turn(intent.else_say, 0) or DEFAULT_ELSE, {})
        elif intent.tool:
            arguments = {key: _fill(text, {}, answer.text) for key, text in intent.arguments.items()}
            yield _call(messages, intent.tool, arguments)
        else:
            yield from _say(_in_turn(intent.then_say or ("{result}",), 0), {}, answer.text)

    def _after_tool(self, messages: Sequence[Message], state: _State) -> Iterator[LlmDelta]:
        """The tool has answered: say what the intent has for that; a tool's bare answer if it has nothing."""
        answer = messages[-1]
        request = _request(messages, answer.tool_call_id)
        intent = state.last
        if intent is None or request is None or request.name != (intent.tool or "transfer"):
            return
        lines = intent.then_say or (("{result}",) if intent.tool else ())
        yield from _say(_in_turn(lines, state.answered[intent.name] - 1), state.values, answer.text)
        if intent.expects:
            yield Expecting(intent.expects)

    # ------------------------------------------------------------ understanding

    def _find(self, state: _State) -> tuple[Intent, dict[str, str]] | None:
        """The intent of the pending words: of the last message, else of all that was said in several goes."""
        heard = [message.text for message in state.pending if message.understood and message.text]
        if not heard or not state.pending[-1].understood:
            return None
        intents = self._considered(state.last)
        found = self._match(intents, heard[-1])
        return found or (self._match(intents, " ".join(heard)) if len(heard) > 1 else None)

    def _considered(self, last: Intent | None) -> list[Intent]:
        """Intents that may come now, those that follow the last one first."""
        following = [intent for intent in self._script.intents if last and intent.after == last.name]
        return following + [intent for intent in self._script.intents if not intent.after]

    def _match(self, intents: Sequence[Intent], text: str) -> tuple[Intent, dict[str, str]] | None:
        for intent in intents:
            for phrase in intent.phrases:
                if (values := slots.match(phrase, text)) is not None:
                    return intent, values
        best: tuple[float, Intent, dict[str, str]] | None = None
        said = _Said(text)
        for intent in intents:
            for ready in self._phrases[intent.name]:
                score, values = said.likeness(ready, self._threshold)
                if score > (best[0] if best else 0.0):
                    best = score, intent, values
        return (best[1], best[2]) if best else None


class _Said:
    """One text, compared with many phrases by the words they share."""

    def __init__(self, text: str) -> None:
        self._words = slots.words(text)
        self._weight = sum(map(_weight, self._words))
        self._slots: dict[str, tuple[str, int, int] | None] = {}

    def likeness(self, phrase: _Phrase, threshold: float) -> tuple[float, dict[str, str]]:
        """0.0 if too little is shared, else up to 1.0; and the slots' values."""
        values: dict[str, str] = {}
        taken: set[int] = set()
        for slot, name in phrase.open:
            found = self._slot(slot)
            if found is None:
                return 0.0, {}
            values[name] = found[0]
            taken.update(range(found[1], found[2]))
        left = Counter(word for at, word in enumerate(self._words) if at not in taken)
        shared = Counter(phrase.literal) & left
        hit = sum(_weight(word) * count for word, count in shared.items()) + len(phrase.open)
        of_phrase = hit / (sum(map(_weight, phrase.literal)) + len(phrase.open))
        taken_weight = sum(_weight(self._words[at]) for at in taken)
        of_text = hit / max(self._weight - taken_weight + len(phrase.open), _LIGHT_WEIGHT)
        if of_phrase < threshold or of_text < TEXT_SHARE:
            return 0.0, {}
        return 2 * of_phrase * of_text / (of_phrase + of_text), values

    def _slot(self, slot: str) -> tuple[str, int, int] | None:
        """The longest run of words that fills a slot: its value, first and behind-last word."""
        if slot not in self._slots:
            self._slots[slot] = next(self._runs(slot), None)
        return self._slots[slot]

    def _runs(self, slot: str) -> Iterator[tuple[str, int, int]]:
        count = len(self._words)
        for length in range(min(count, LONGEST_SLOT), 0, -1):
            for start in range(count - length + 1):
                if values := slots.match(slot, " ".join(self._words[start : start + length])):
                    yield next(iter(values.values())), start, start + length


def _weight(word: str) -> float:
    return _LIGHT_WEIGHT if word in _LIGHT else 1.0


def _in_turn(texts: Sequence[str], nth: int) -> str:
    return texts[nth % len(texts)] if texts else ""


def _say(text: str, values: Mapping[str, str], result: str = "") -> Iterator[TextDelta]:
    for piece in _WORD.findall(_fill(text, values, result)):
        yield TextDelta(piece)


def _fill(text: str, values: Mapping[str, str], result: str = "") -> str:
    """Replace `{slot}`, `{result}` and `{result.field}`; what has no value is left out."""

    def value(place: re.Match[str]) -> str:
        if place[1] != "result":
            return values.get(place[1], "")
        return _field(result, place[2]) if place[2] else result

    return _PLACE.sub(value, text)


def _field(result: str, name: str) -> str:
    try:
        answer = json.loads(result)
    except ValueError:
        return ""
    return str(answer.get(name, "")) if isinstance(answer, dict) else ""


def _collects(message: Message) -> bool:
    return bool(message.agent) and any(call.name == COLLECT for call in message.tool_calls)


def _collected(messages: Sequence[Message]) -> tuple[ToolRequest, Message] | None:
    """The newest request to collect and its answer, if nothing has been said about it yet."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message.role != "assistant" or not _collects(message):
            continue
        if any(later.role == "assistant" and later.agent == message.agent for later in messages[at + 1 :]):
            return None
        request = next(call for call in message.tool_calls if call.name == COLLECT)
        answers = [
            later for later in messages[at + 1 :] if later.tool_call_id == request.id and not later.interim
        ]
        return (request, answers[0]) if answers else None
    return None


def _act(messages: Sequence[Message], step: Step) -> Iterator[ToolCall]:
    if step.handoff:
        yield _call(messages, HAND_OVER, {"agent": step.handoff})
    elif step.transfer:
        yield _call(messages, "transfer", {"target": step.transfer})
    elif step.hang_up:
        yield _call(messages, "hang_up", {})


def _call(messages: Sequence[Message], name: str, arguments: Mapping[str, str]) -> ToolCall:
    """A tool call whose id counts the requests so far: the same messages give the same id."""
    before = sum(len(message.tool_calls) for message in messages)
    return ToolCall(f"scripted-{before + 1}", name, json.dumps(arguments))


def _request(messages: Sequence[Message], call_id: str) -> ToolRequest | None:
    for message in reversed(messages):
        for call in message.tool_calls:
            if call.id == call_id:
                return call
    return None

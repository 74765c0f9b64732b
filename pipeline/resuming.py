"""A conversation that goes on in another process: what the first one saves, and what the next one makes of it.

The caller should not notice: what had not been heard is said, what was asked is answered, nothing is done twice, and
words that were being spoken when the first process died are heard after all, from the sound that outlived it.
Driven by session.py. The phone call and its sound are not its business: `AudioOut.played` already counts on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import canned
from pipeline.agent.history import Message, ToolRequest
from pipeline.answering import Answering
from pipeline.events import ConversationResumed
from pipeline.ports import ToolCall
from pipeline.speaking.ledger import Ledger
from pipeline.speaking.pace import Pace
from pipeline.speeches import Speeches
from pipeline.stage import Stage
from pipeline.succession import Succession
from pipeline.waiting import Waiting

LONG_GAP_MS = 1000  # without anybody there: the caller has noticed
GO_ON = "You were cut off by a technical fault. Go on exactly where you stopped, and do not repeat yourself."


@dataclass(frozen=True, slots=True)
class Before:
    """How another process left the conversation. state: its last checkpoint, empty if there was none. gap_ms: since
    then nobody was there."""

    state: Mapping[str, Any] = field(default_factory=dict)
    gap_ms: int = 0


def checkpoint(
    stage: Stage,
    succession: Succession,
    answering: Answering,
    speeches: Speeches | None,
    waiting: Waiting,
) -> dict[str, Any]:
    """What another process needs. Plain values, but for userdata, which is what the agent's author put there."""
    return {
        "agent": succession.host.name,
        "entering": succession.entering,
        "history": stage.history.dump(),
        "userdata": stage.conversation.userdata,
        "saying": speeches.dump() if speeches is not None else [],
        "unanswered": answering.unanswered,
        "held": "agent" in waiting.deaf,
    }


class Resuming:
    """One conversation's second life."""

    def __init__(
        self,
        stage: Stage,
        succession: Succession,
        answering: Answering,
        waiting: Waiting,
        before: Before,
    ) -> None:
        self._stage, self._succession, self._answering = stage, succession, answering
        self._waiting, self._before = waiting, before
        self._saying: Sequence[Mapping[str, Any]] = before.state.get("saying", ())

    def repeats(self, call: ToolRequest) -> bool:
        """May a tool that was running be run again?"""
        tool = self._stage.agent.tools.get(call.name)
        return tool is not None and tool.repeatable

    async def go_on(self) -> None:
        """Take the caller up where the other process left them."""
        stage, state = self._stage, self._before.state
        self._answering.go_on(str(state.get("unanswered", "")))
        if state.get("held"):
            self._waiting.go_on_holding()
        if stage.agent.begins_again:
            await self._begin_again()
            return
        left = [self._left_of(saying) for saying in self._saying]
        again = " ".join(rest for rest, _ in left if rest)
        stage.emit(ConversationResumed(stage.now(), stage.agent.name, self._before.gap_ms, again))
        entering = bool(state.get("entering", not state)) and not again
        await self._succession.resume(stage.agent, entering=entering)
        if not self._unfinished_calls():
            await self._waiting.resume()  # whoever would have fetched the caller from hold is gone
        for saying, (rest, _) in zip(self._saying, left, strict=True):
            if rest:
                stage.queue(stage.reply(text=rest, allow_interruptions=not saying["protected"]))
        if calls := self._unfinished_calls():
            if stage.tools is not None and (await stage.tools.run(stage.agent, calls)).stop:
                return
            stage.queue(stage.reply())
        elif any(unfinished for _, unfinished in left):
            stage.queue(stage.reply(instructions=GO_ON if again else ""))
        elif not again and not entering:
            self._answer_or_say_hello()
        stage.save()

    async def _begin_again(self) -> None:
        """What this agent does it does as a whole: nothing is left of it that could be gone on with."""
        stage = self._stage
        for saying in self._saying:
            self._left_of(saying)  # the history keeps what was heard
        stage.emit(ConversationResumed(stage.now(), stage.agent.name, self._before.gap_ms, ""))
        await self._waiting.resume()
        await self._succession.resume(stage.agent, entering=True)
        stage.save()

    def _answer_or_say_hello(self) -> None:
        stage = self._stage
        last = stage.history.messages[-1] if stage.history.messages else None
        if last is not None and (last.role == "user" or (last.role == "tool" and not last.interim)):
            stage.queue(stage.reply())
        elif self._before.gap_ms >= LONG_GAP_MS:
            stage.queue(stage.reply(text=canned.lines(stage.agent.voice.language).back, add_to_history=False))

    def _left_of(self, saying: Mapping[str, Any]) -> tuple[str, bool]:
        """(what the caller has not heard of it, has the model more to say?); the history keeps what was heard."""
        stage = self._stage
        played, rate_hz = stage.out.played, stage.out.rate_hz
        voice = stage.agent.voice
        ledger = Ledger.load(saying["ledger"], rate_hz, Pace(voice.language, voice.speed))
        messages = list(stage.history.messages)
        end = 0
        for number, first, end in saying["steps"]:
            heard = ledger.heard(played, first, end)
            if 0 <= number < len(messages) and heard != ledger.text(first, end):
                self._revise(messages[number], heard)
        unnoted = ledger.heard(played, end)
        if unnoted and saying["noted"]:
            now, name = stage.now(), stage.agent.name
            stage.history.add(Message("assistant", unnoted, now, agent=name, interrupted=True))
        if not len(ledger) and saying["text"]:
            return str(saying["text"]), False
        return ledger.rest(played), not saying["thought"] and not saying["text"]

    def _revise(self, message: Message, heard: str) -> None:
        keep = bool(heard or message.tool_calls)
        new = replace(message, text=heard, interrupted=True) if keep else None
        self._stage.history.revise(message, new)

    def _unfinished_calls(self) -> list[ToolCall]:
        """Requests that nobody has answered: those that may be run again."""
        messages = self._stage.history.messages
        answered = {message.tool_call_id for message in messages if not message.interim}
        calls = [call for message in messages for call in message.tool_calls if call.id not in answered]
        return [ToolCall(call.id, call.name, call.arguments) for call in calls]

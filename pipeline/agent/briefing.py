"""Who speaks to a colleague before a caller is put through: says who calls and why, and asks whether they take it.

An agent in a conversation of its own, on a second phone line; transferring.py runs it. A plain yes or no, or the key 1
or 2, is understood without the model; everything else is the model's. If the model has nothing to say, canned lines
stand in for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Literal

from pipeline.agent.agent import Agent
from pipeline.agent.history import History, Message
from pipeline.agent.task import AgentTask
from pipeline.agent.tools import StopResponse, function_tool
from pipeline.canned import lines
from pipeline.errors import ProviderError
from pipeline.hearing import slots
from pipeline.hearing.expectation import Expectation
from pipeline.ports import Llm, LlmDelta, TextDelta, ToolCall, ToolSpec, TransferResult

DECLINED, UNAVAILABLE = 603, 480
TOLD_CHARS = 6000  # of what was said to the caller
ANSWERS = ("{yes_no}", "{yes_no} please", "{yes_no} thank you", "{yes_no} connect me", "put them through")

INSTRUCTIONS = """\
You phone a colleague on behalf of a caller who waits on hold and cannot hear you. Tell the colleague in one or two
short sentences who calls and what they want, as far as you know it from the conversation below, and ask whether you
may connect them. When the colleague agrees, call connect_caller at once. When they do not want the call, call
decline_transfer with their reason. When an answering machine speaks instead of a person, call voicemail_detected.
Answer questions about the caller from the conversation; do not invent anything.

The conversation with the caller so far:
"""
BRIEF = (
    "The colleague has just answered the phone. Tell them who calls and why, and ask whether you may connect."
)


class Briefing(AgentTask[TransferResult]):
    """result: ok if the colleague takes the call, else why not."""

    def __init__(self, agent: Agent, heard: History, briefing: str = "") -> None:
        """agent: who talks to the caller; the same voice, model and recogniser are used. heard: what was said to them.
        briefing: the words for the colleague, "" for the model's own."""
        language = agent.voice.language
        super().__init__(
            name=f"{agent.name}, briefing",
            instructions=INSTRUCTIONS + transcript(heard),
            voice=agent.voice,
            language=language,
            phrases=ANSWERS,
            stt=agent.stt,
            llm=agent.llm,
            tts=agent.tts,
            turn_handling={**agent.turn_handling, "preemptive": False},
            silence={"after_s": 6.0, "times": 2, "ask": lines(language).may_i_connect},
            keys={"1": "yes", "2": "no"},
            fillers=(),
        )
        self.pronounce = agent.pronounce
        self._briefing = briefing
        self._begun = False

    async def on_enter(self) -> None:
        """They have picked up."""
        self.session.expect(Expectation("yes_no"))
        if self._briefing:
            self._begun = True
            self.session.say(f"{self._briefing} {lines(self.voice.language).may_i_connect}")
        else:
            self.session.generate_reply(BRIEF)

    async def on_user_turn_completed(self, history: History, message: Message) -> Message:
        """Is that a plain yes or no?"""
        answer = said_plainly(message.text) if message.understood else ""
        if answer:
            self.complete(TransferResult(True, 200) if answer == "yes" else _declined(""))
            raise StopResponse
        return message

    async def llm_node(
        self,
        llm: Llm,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        tool_choice: Literal["auto", "none", "required"],
    ) -> AsyncGenerator[LlmDelta, None]:
        """The model's words, or canned ones: a colleague who hears silence hangs up."""
        spoke = False
        try:
            async with aclosing(llm.chat(messages, tools, tool_choice=tool_choice)) as deltas:
                async for delta in deltas:
                    spoke = spoke or isinstance(delta, TextDelta | ToolCall)
                    yield delta
        except ProviderError:
            if spoke:
                raise
        if not spoke:
            canned = lines(self.voice.language)
            yield TextDelta(
                canned.may_i_connect if self._begun else f"{canned.caller_for_you} {canned.may_i_connect}"
            )
        self._begun = True

    @function_tool
    def connect_caller(self) -> None:
        """The colleague takes the call: connect the caller to them now."""
        self.complete(TransferResult(True, 200))
        raise StopResponse

    @function_tool
    def decline_transfer(self, reason: str) -> None:
        """The colleague does not take the call. The caller is told why.

        reason: in a few words, as the caller may hear it."""
        self.complete(_declined(reason))
        raise StopResponse

    @function_tool
    def voicemail_detected(self) -> None:
        """An answering machine has picked up, not a person."""
        self.complete(TransferResult(False, UNAVAILABLE, "an answering machine picked up"))
        raise StopResponse


def _declined(reason: str) -> TransferResult:
    return TransferResult(False, DECLINED, f"declined: {reason}" if reason else "declined")


def said_plainly(text: str) -> str:
    """ "yes" or "no" if that is all that was said, else ""."""
    for phrase in ANSWERS:
        if (values := slots.match(phrase, text)) is not None:
            return values.get("yes_no", "yes")
    return ""


def transcript(heard: History) -> str:
    """What was said, newest last, as text for a model."""
    names = {"user": "Caller", "assistant": "You"}
    said = [f"{names[m.role]}: {m.text}" for m in heard.messages if m.role in names and m.text]
    return "\n".join(said)[-TOLD_CHARS:] or "(nothing yet)"

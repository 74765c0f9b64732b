"""Conversations with the scripted language model, at text level."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.agent.history import History, Message, ToolRequest
from pipeline.errors import ConfigError
from pipeline.ports import TextDelta, ToolCall, ToolSpec
from pipeline.providers.scripted import ScriptedLlm, phrases_of

CLINIC: dict[str, Any] = {
    "intents": [
        {
            "name": "hours",
            "phrases": ["what are your opening hours"],
            "say": ["From eight to six.", "Eight to six."],
        },
        {
            "name": "bill",
            "phrases": ["i have a question about my bill", "billing please"],
            "say": "I will put you through.",
            "handoff": "billing",
        },
        {"name": "appointment", "phrases": ["i would like to make an appointment"], "say": "Which day?"},
        {"name": "day", "after": "appointment", "phrases": ["on {date}", "{date}"], "say": "Noted: {date}."},
        {
            "name": "invoice",
            "phrases": ["{digits:4}", "my invoice number is {digits:4}"],
            "say": "Let me see.",
            "tool": "look_up",
            "arguments": {"number": "{digits}"},
            "then_say": "{result} Pay now?",
        },
        {"name": "pay", "after": "invoice", "phrases": ["yes"], "say": "Paid."},
        {"name": "later", "after": "invoice", "phrases": ["no", "no thank you"], "say": "No problem."},
        {"name": "nothing", "phrases": ["no", "no thank you"], "say": "All right."},
        {
            "name": "person",
            "phrases": ["can i speak to a person please"],
            "say": "One moment.",
            "transfer": "desk",
            "then_say": "Nobody is there.",
        },
        {"name": "bye", "phrases": ["that is all goodbye"], "say": "Goodbye.", "hang_up": True},
    ],
    "not_understood": ["Pardon?", "Say it again."],
}


class Phone:
    """Speaks with one model and writes the history down as a session does."""

    def __init__(self, script: Mapping[str, Any] = CLINIC, *tools: str, agent: str = "desk") -> None:
        self.llm = ScriptedLlm(script)
        self.history = History()
        self.tools = [ToolSpec(name, "", {}) for name in tools]
        self.agent = agent
        self.calls: list[tuple[str, dict[str, str]]] = []

    async def say(self, text: str, *, understood: bool = True) -> str:
        """The caller says something; returns what the agent answers."""
        self.history.add(Message("user", text, understood=understood))
        return await self.answer()

    async def tool_answers(self, text: str) -> str:
        """The tool that was asked for last answers; returns what the agent makes of it."""
        request = self.history.messages[-1].tool_calls[-1]
        self.history.add(Message("tool", text, tool_call_id=request.id))
        return await self.answer()

    async def answer(self) -> str:
        self.calls = []
        requests: list[ToolRequest] = []
        text = ""
        async for delta in self.llm.chat(self.history.for_model("Be nice."), self.tools):
            if isinstance(delta, TextDelta):
                text += delta.text
            elif isinstance(delta, ToolCall):
                self.calls.append((delta.name, json.loads(delta.arguments)))
                requests.append(ToolRequest(delta.id, delta.name, delta.arguments))
        if text or requests:
            self.history.add(Message("assistant", text, agent=self.agent, tool_calls=tuple(requests)))
        return text


async def test_an_answer_streams_word_by_word() -> None:
    """So that speech can begin with the first clause."""
    llm = ScriptedLlm(CLINIC)
    deltas = [delta async for delta in llm.chat([Message("user", "What are your opening hours?")])]
    assert deltas == [TextDelta("From "), TextDelta("eight "), TextDelta("to "), TextDelta("six.")]


async def test_several_answers_are_taken_in_turn() -> None:
    """A caller who asks again does not hear a recording."""
    phone = Phone()
    hours = [await phone.say("what are your opening hours") for _ in range(3)]
    assert hours == ["From eight to six.", "Eight to six.", "From eight to six."]


async def test_a_slot_is_said_back() -> None:
    """`{date}` in the answer is what was heard for it."""
    phone = Phone()
    assert await phone.say("I would like to make an appointment.") == "Which day?"
    assert await phone.say("on friday") == "Noted: friday."


async def test_a_follow_up_is_understood_only_after_its_question() -> None:
    """A day out of the blue is no answer to anything."""
    assert await Phone().say("on friday") == "Pardon?"


async def test_a_follow_up_survives_a_misunderstanding_in_between() -> None:
    """The question is still open while the agent says pardon."""
    phone = Phone()
    await phone.say("i would like to make an appointment")
    assert await phone.say("mumble") == "Pardon?"
    assert await phone.say("friday") == "Noted: friday."


async def test_no_means_what_was_asked_last() -> None:
    """Intents that follow the last one come before general ones."""
    phone = Phone()
    assert await phone.say("no thank you") == "All right."
    await phone.say("four two seven one")
    await phone.tool_answers("It is 84 dollars.")
    assert await phone.say("no thank you") == "No problem."


async def test_a_tool_is_called_with_the_digits_and_its_answer_is_said() -> None:
    """Four digits, read one by one, become one argument."""
    phone = Phone()
    assert await phone.say("My invoice number is four two seven one.") == "Let me see."
    assert phone.calls == [("look_up", {"number": "4271"})]
    assert await phone.tool_answers("It is 84 dollars.") == "It is 84 dollars. Pay now?"
    assert phone.calls == []
    assert await phone.say("yes") == "Paid."


async def test_a_field_of_a_json_answer_can_be_said() -> None:
    """`{result.total}`; a field that is not there is left out."""
    script = {
        "intents": [
            {"name": "i", "phrases": ["total"], "tool": "t", "then_say": "{result.total} dollars{result.x}."}
        ]
    }
    phone = Phone(script)
    await phone.say("total")
    assert await phone.tool_answers('{"total": 84}') == "84 dollars."


async def test_a_tool_without_words_for_its_answer_is_not_followed_by_silence() -> None:
    """Its bare answer is better than nothing."""
    phone = Phone({"intents": [{"name": "i", "phrases": ["total"], "tool": "t"}]})
    assert await phone.say("total") == ""
    assert await phone.tool_answers("84 dollars") == "84 dollars"


@pytest.mark.parametrize(
    ("said", "answer", "call"),
    [
        ("i have a question about my bill", "I will put you through.", ("hand_over", {"agent": "billing"})),
        ("can i speak to a person please", "One moment.", ("transfer", {"target": "desk"})),
        ("that is all goodbye", "Goodbye.", ("hang_up", {})),
    ],
)
async def test_actions_are_tool_calls_after_the_words(
    said: str, answer: str, call: tuple[str, dict[str, str]]
) -> None:
    """Handing over, transferring and hanging up are the session's business; the script only asks for them."""
    phone = Phone()
    assert await phone.say(said) == answer
    assert phone.calls == [call]


async def test_a_failed_transfer_is_explained() -> None:
    """The call goes on, so somebody must say something. After a successful one nobody is asked."""
    phone = Phone()
    await phone.say("can i speak to a person please")
    assert await phone.tool_answers("The transfer failed (486 Busy Here).") == "Nobody is there."


async def test_without_tools_only_the_words_remain() -> None:
    """tool_choice="none"."""
    messages = [Message("user", "that is all goodbye")]
    deltas = [delta async for delta in ScriptedLlm(CLINIC).chat(messages, tool_choice="none")]
    assert deltas == [TextDelta("Goodbye.")]


async def test_three_misunderstandings_in_a_row_end_the_attempt() -> None:
    """Two other wordings, then goodbye, if hanging up is allowed at all."""
    phone = Phone(CLINIC, "hang_up")
    assert await phone.say("mumble") == "Pardon?"
    assert await phone.say("what are your opening hours", understood=False) == "Say it again."
    assert (await phone.say("mumble")).endswith("Goodbye.")
    assert phone.calls == [("hang_up", {})]


async def test_an_understood_sentence_begins_the_count_again() -> None:
    """In a row means in a row."""
    phone = Phone(CLINIC, "hang_up")
    for said in ("mumble", "mumble", "what are your opening hours", "mumble"):
        last = await phone.say(said)
    assert last == "Pardon?"


async def test_giving_up_may_transfer_instead_and_may_happen_again() -> None:
    """When nobody takes the transfer the conversation goes on."""
    give_up = {"say": ["To a person.", "Once more."], "transfer": "desk"}
    phone = Phone({**CLINIC, "max_not_understood": 2, "give_up": give_up}, "hang_up")
    answers = [await phone.say("mumble") for _ in range(4)]
    assert answers == ["Pardon?", "To a person.", "Pardon?", "Once more."]
    assert phone.calls == [("transfer", {"target": "desk"})]


async def test_without_hang_up_an_agent_goes_on_asking() -> None:
    """It may not end the call and knows nobody to send the caller to."""
    phone = Phone(CLINIC)
    assert [await phone.say("mumble") for _ in range(3)] == ["Pardon?", "Say it again.", "Pardon?"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Um, hi! What are your opening hours, please?", "From eight to six."),
        ("your opening hours what are they", "From eight to six."),
        ("No. I have a question about my bill.", "I will put you through."),
        ("yeah hello i've a question about my bill", "I will put you through."),
        ("uh the invoice number is 4271 thanks", "Let me see."),
        ("i would like to make a complaint", "Pardon?"),
        ("i have a question about my order", "Pardon?"),
        ("what is your address", "Pardon?"),
        ("please", "Pardon?"),
        ("", "Pardon?"),
    ],
)
async def test_a_cloud_recogniser_s_free_text_is_understood_by_the_words_it_shares(
    said: str, answer: str
) -> None:
    """Fillers, punctuation and word order do not matter; one wrong word that carries the meaning does."""
    assert await Phone().say(said) == answer


async def test_digits_inside_free_text_reach_the_tool() -> None:
    """A cloud recogniser writes figures, and words around them."""
    phone = Phone()
    await phone.say("Uh, the invoice number is 4271, thanks.")
    assert phone.calls == [("look_up", {"number": "4271"})]


async def test_a_sentence_in_two_goes_is_understood() -> None:
    """The caller paused in the middle and the agent had not answered yet."""
    phone = Phone()
    phone.history.add(Message("user", "i would like to make"))
    assert await phone.say("an appointment") == "Which day?"


async def test_the_next_agent_begins_with_a_clean_slate() -> None:
    """What was asked and misunderstood before a handoff was another agent's conversation."""
    desk = Phone()
    await desk.say("mumble")
    await desk.say("i have a question about my bill")
    billing = Phone(CLINIC, agent="billing")
    billing.history = desk.history
    assert await billing.tool_answers("ok") == ""
    billing.history.add(Message("assistant", "This is billing.", agent="billing"))
    assert await billing.say("mumble") == "Pardon?"


async def test_a_conversation_goes_on_from_a_checkpoint() -> None:
    """A new process with the stored history gives the same answer: nothing is kept but the messages."""
    phone = Phone()
    await phone.say("i would like to make an appointment")
    await phone.say("mumble")
    later = Phone()
    later.history = History.load(json.loads(json.dumps(phone.history.dump())))
    assert await phone.say("on friday") == await later.say("on friday") == "Noted: friday."
    assert phone.history.messages == later.history.messages


def test_phrases_for_the_recogniser_come_once_each() -> None:
    """They are the embedded recogniser's whole world."""
    phrases = phrases_of(CLINIC)
    assert phrases.count("no thank you") == 1
    assert "my invoice number is {digits:4}" in phrases


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"intents": [{"phrases": ["a"]}]}, r"intents\.0\.name"),
        ({"intents": [{"name": "a", "phrases": ["{digts}"]}]}, "digts"),
        ({"intent": []}, "intent"),
    ],
)
def test_a_wrong_script_is_refused_when_the_agent_is_made(script: dict[str, Any], words: str) -> None:
    """Not in the middle of a call."""
    with pytest.raises(ConfigError, match=words):
        ScriptedLlm(script)

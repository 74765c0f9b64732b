"""What has been said, as the model is told it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.agent.history import History, Message, ToolRequest, as_told


def test_a_history_comes_back_equal_from_a_checkpoint() -> None:
    history = History()
    history.add(Message("user", "héllo", 1.5, understood=False))
    history.add(Message("assistant", "", 2.0, agent="a", tool_calls=(ToolRequest("1", "look", '{"n": 1}'),)))
    history.add(Message("tool", "found", 2.5, tool_call_id="1"))
    assert History.load(history.dump()) == history


def test_instructions_come_first_and_are_not_kept() -> None:
    history = History([Message("user", "hi")])
    assert [message.role for message in history.for_model("be kind")] == ["system", "user"]
    assert [message.role for message in history.for_model("")] == ["user"]
    assert len(history.messages) == 1


def test_revising_finds_the_message_itself_not_one_that_looks_like_it() -> None:
    first, second = Message("assistant", "same"), Message("assistant", "same")
    history = History([first, second])
    history.revise(first, Message("assistant", "cut", interrupted=True))
    assert [message.text for message in history.messages] == ["cut", "same"]
    history.revise(second, None)
    assert [message.text for message in history.messages] == ["cut"]


ASK = Message("assistant", "One moment.", tool_calls=(ToolRequest("1", "book", "{}"),))


def test_an_answer_that_came_after_an_interruption_is_told_right_after_its_request() -> None:
    booked, stop = Message("tool", "booked", tool_call_id="1"), Message("user", "stop")
    assert as_told([ASK, stop, booked]) == [ASK, booked, stop]


def test_a_tool_without_an_answer_is_told_as_running() -> None:
    told = as_told([ASK, Message("user", "hello?")])
    assert [message.role for message in told] == ["assistant", "tool", "user"]
    assert told[1].text.startswith("book is still running")
    assert told[1].tool_call_id == "1"


def test_a_result_after_an_interim_one_is_told_as_an_answer_of_its_own() -> None:
    halfway = Message("tool", "halfway", tool_call_id="1", interim=True)
    done = Message("tool", "done", tool_call_id="1")
    between = [Message("assistant", "I am at it."), Message("user", "fine")]
    told = as_told([ASK, halfway, *between, done])
    assert told[:4] == [ASK, halfway, *between]
    (again,) = told[4].tool_calls
    assert (again.name, again.arguments, told[5].text) == ("book", "{}", "done")
    assert again.id == told[5].tool_call_id != "1"


ROLES = st.lists(
    st.tuples(st.sampled_from(["user", "say", "ask", "answer", "interim"]), st.integers(0, 3)), max_size=14
)


@given(ROLES)
def test_whatever_happened_every_request_is_followed_by_one_answer_each(steps: list[tuple[str, int]]) -> None:
    """What models insist on: an answer for each request, right behind it, and none without."""
    messages: list[Message] = []
    for number, (what, call) in enumerate(steps):
        if what == "ask":
            calls = tuple(ToolRequest(f"{number}.{nth}", "t", "{}") for nth in range(call + 1))
            messages.append(Message("assistant", f"a{number}", tool_calls=calls))
        elif what in ("answer", "interim"):
            text = f"r{number}"
            messages.append(Message("tool", text, tool_call_id=f"{call}.0", interim=what == "interim"))
        else:
            messages.append(Message("user" if what == "user" else "assistant", f"t{number}"))
    told = as_told(messages)
    at = 0
    seen: set[str] = set()
    while at < len(told):
        assert told[at].role != "tool"
        wanted = [call.id for call in told[at].tool_calls]
        got = [message.tool_call_id for message in told[at + 1 : at + 1 + len(wanted)]]
        assert got == wanted
        assert not seen & set(wanted)
        seen |= set(wanted)
        at += 1 + len(wanted)
    said = " ".join(message.text for message in told)
    assert all(message.text in said for message in messages if message.role != "tool"), "no word is lost"

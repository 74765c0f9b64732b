"""What has been said, as the model is told it."""

from __future__ import annotations

from pipeline.agent.history import History, Message, ToolRequest


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

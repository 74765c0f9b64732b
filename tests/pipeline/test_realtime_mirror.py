"""What is told to the server so that its conversation is the call's history."""

from __future__ import annotations

from pipeline.agent.history import Message, ToolRequest
from pipeline.realtime.mirror import Add, Item, Mirror, Remove

HELLO = Message("assistant", "Hello.")
WHERE = Message("user", "where are you")


def mirror(*items: Item) -> Mirror:
    made = Mirror()
    made.items = list(items)
    return made


def test_what_is_the_same_is_left_alone() -> None:
    assert mirror(Item("a", "assistant", "Hello."), Item("b", "user", "Where  are you ")).sync([HELLO]) == [
        Remove("b")
    ]
    assert not mirror(Item("a", "assistant", "Hello."), Item("b", "user", " where are  you")).sync(
        [HELLO, WHERE]
    )


def test_a_turn_that_the_server_heard_in_two_parts_is_one() -> None:
    assert not mirror(Item("a", "user", "where are"), Item("b", "user", "you")).sync([WHERE])


def test_a_line_of_ours_is_put_where_it_was_said() -> None:
    changes = mirror(Item("a", "user", "where are you")).sync([HELLO, WHERE])
    assert changes == [Add("offhook_1", HELLO, "")]


def test_a_noise_that_nobody_took_for_words_is_forgotten() -> None:
    made = mirror(
        Item("a", "assistant", "Hello."), Item("b", "user", "mhm"), Item("c", "user", "where are you")
    )
    assert made.sync([HELLO, WHERE]) == [Remove("b")]


def test_what_was_cut_short_stays_and_what_was_not_is_said_in_other_words() -> None:
    heard = Message("assistant", "Once upon", interrupted=True)
    assert not mirror(Item("a", "assistant", "Once upon a time", cut=True)).sync([heard])
    changes = mirror(Item("a", "assistant", "Once upon a time")).sync([heard])
    assert changes == [Remove("a"), Add("offhook_1", heard, "")]


def test_what_the_caller_has_just_said_waits_for_its_place_in_the_history() -> None:
    said = Item("a", "user", None, spoken=True)
    over = Item("b", "user", None, aside=True, spoken=True)
    made = mirror(over, said)
    assert made.sync([], pending=True) == [Remove("b")]
    assert made.items == [said]


def test_a_call_of_a_tool_and_its_answer_are_found_by_their_number() -> None:
    asked = Message(
        "assistant", "", tool_calls=(ToolRequest("1", "book", "{}"), ToolRequest("2", "book", "{}"))
    )
    told = [Message("tool", "yes", tool_call_id="1"), Message("tool", "no", tool_call_id="2")]
    made = mirror(Item("a", "call", "", "1"), Item("b", "call", "", "2"))
    changes = made.sync([asked, *told])
    assert changes == [Add("offhook_1", told[0], "b"), Add("offhook_2", told[1], "offhook_1")]
    assert not made.sync([asked, *told])

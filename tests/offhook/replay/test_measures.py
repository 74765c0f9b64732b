"""What a call was like is measured from its journal: delays, who talked over whom, silences, tools, handoffs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from offhook.replay.measures import CallMeasures, Spread, measure
from offhook.replay.timeline import Silence, Span, merged, overlaps, silences
from pipeline.agent.agent import Agent
from pipeline.providers.fake import FakeLlm
from pipeline.testing import Presses, Says, VirtualCall, agent_begins, agent_stops, sentence
from tests.offhook.replay.calls import dentist, write_call

LONG = "Our clinic is open every day. On Sunday only in the morning. Do you want to come on Friday?"


Row = tuple[float, str, Mapping[str, Any]]


def journal(*rows: tuple[float, str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as (time, type, fields); the call is answered at loop time 100."""
    answered = {"at": 100.0, "type": "CallAnswered"}
    return [answered, *({"at": 100.0 + at, "type": kind, **fields} for at, kind, fields in rows)]


def spoke(start: float, end: float, text: str = "") -> list[tuple[float, str, Mapping[str, Any]]]:
    """The caller's voice, and words if there are any."""
    rows: list[tuple[float, str, Mapping[str, Any]]] = [
        (start + 0.1, "CallerStartedSpeaking", {"since": 100.0 + start}),
        (end + 0.2, "CallerStoppedSpeaking", {"until": 100.0 + end}),
    ]
    words = {"text": text, "understood": True, "spoke_until": 100.0 + end}
    rows.append((end + 0.21, "UserTurnCommitted", words) if text else (end + 0.21, "NothingHeard", {}))
    return rows


def talked(start: float, end: float, **fields: Any) -> list[tuple[float, str, Mapping[str, Any]]]:
    return [
        (start, "AgentStartedSpeaking", {"agent": "a", **fields}),
        (end, "AgentSpoke", {"agent": "a", "text": "yes", "heard_ms": 1}),
    ]


def measured(tmp_path: Path, *parts: Sequence[Row]) -> CallMeasures:
    rows = sorted((row for part in parts for row in part), key=lambda row: row[0])
    return measure(write_call(tmp_path, journal(*rows)))


def test_a_virtual_call_is_measured_turn_by_turn(tmp_path: Path) -> None:
    call = measure(write_call(tmp_path, dentist()))
    assert [turn.text for turn in call.turns] == [
        "", "i need an appointment", "on friday please", "what does it cost", "how much",
    ]  # fmt: skip
    assert [(tool.name, tool.ok) for tool in call.tools] == [("book_appointment", True), ("hand_over", True)]
    assert [(handoff.came_from, handoff.to) for handoff in call.handoffs] == [("dentist", "billing")]
    assert call.response_delay_ms == Spread(4, 900.0, 900.0, 900.0)
    assert {delay.blame for delay in call.delays} == {"waited"}
    assert all(abs(sum(delay[1:]) - delay.total_ms) < 1 for delay in call.delays)
    assert (call.ended_by, call.cause, call.cut_ins, call.barge_ins) == ("us", "agent_hung_up", (), ())
    assert call.talk_ratio is not None and 0.4 < call.talk_ratio < 0.8


def test_a_caller_who_takes_the_floor_is_a_barge_in_and_no_rudeness_of_the_agent(tmp_path: Path) -> None:
    acts = [Says("not on sunday please", at=sentence("On Sunday") + 0.3)]
    events = VirtualCall(Agent(greeting=LONG), acts, llm=FakeLlm("Then Friday.")).play().events
    call = measure(write_call(tmp_path, events))
    assert len(call.barge_ins) == 1 and call.cut_ins == () and len(call.overlaps) == 1
    assert call.turns[0].replies[0].interrupted


def test_an_agent_that_talks_into_a_pause_interrupts_the_caller(tmp_path: Path) -> None:
    call = measure(write_call(tmp_path, dentist(patience_ms=100)))
    assert [cut.turn for cut in call.cut_ins] == [2]


@pytest.mark.parametrize(
    ("goes_on_at", "words", "rude"),
    [(3.2, "and two", True), (4.6, "and two", False), (3.2, "", False), (2.7, "and two", True)],
    ids=["at once", "after hearing enough to react", "without words", "speaking already"],
)
def test_only_words_that_come_too_soon_for_a_reaction_show_a_cut_in(
    tmp_path: Path, goes_on_at: float, words: str, rude: bool
) -> None:
    call = measured(tmp_path, spoke(1, 2, "one"), talked(3, 6), spoke(goes_on_at, goes_on_at + 1, words))
    assert bool(call.cut_ins) == rude


def test_a_caller_who_has_long_been_quiet_cannot_be_cut_off(tmp_path: Path) -> None:
    """Both begin at once after a pause: bad luck."""
    call = measured(tmp_path, spoke(1, 2, "one"), talked(7, 9), spoke(7.3, 8, "hello"))
    assert call.cut_ins == ()


def test_keys_are_collected_in_order(tmp_path: Path) -> None:
    call = VirtualCall(Agent(greeting="Your number?"), [Presses("42#", at=agent_stops() + 1.0)]).play()
    assert measure(write_call(tmp_path, call.events)).pressed == "42#"


def test_a_silence_names_who_spoke_last_and_lasts_to_the_end_of_the_call(tmp_path: Path) -> None:
    call = measured(tmp_path, spoke(3, 4, "one"), talked(9, 10), [(16, "SessionClosed", {"reason": "x"})])
    assert call.silences == (Silence(0, 3, ""), Silence(4, 9, "caller"), Silence(10, 16, "agent"))
    assert call.longest_silence_s == 6


def test_a_paused_agent_makes_no_sound(tmp_path: Path) -> None:
    paused: list[Row] = [(2.0, "AgentPaused", {}), (4.0, "AgentResumed", {})]
    assert measured(tmp_path, talked(1, 6), paused).agent_speech == (Span(1, 2), Span(4, 6))


def test_the_colleagues_line_of_a_consultation_is_not_the_caller(tmp_path: Path) -> None:
    aside: list[Row] = [
        (at, kind, {**fields, "line": "consultation"}) for at, kind, fields in spoke(1, 2, "hello")
    ]
    assert len(measured(tmp_path, aside, talked(3, 4)).turns) == 1


def test_a_call_that_ended_in_the_middle_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_call(tmp_path, journal((1, "AgentStartedSpeaking", {}), (3, "KeyPressed", {"digit": "1"})))
    with (path / "journal.jsonl").open("ab") as file:
        file.write(b'{"at": 104.0, "ty')
    call = measure(path)
    assert call.agent_speech == (Span(1, 3),) and len(call.damage) == 1


def test_an_empty_journal_is_a_call_in_which_nothing_happened(tmp_path: Path) -> None:
    call = measure(write_call(tmp_path, []))
    assert (call.length_s, call.delays, call.talk_ratio, call.response_delay_ms) == (0.0, [], None, None)


def test_a_tool_that_never_returned_says_so(tmp_path: Path) -> None:
    called: list[Row] = [(1.0, "ToolCalled", {"id": "1", "name": "slow", "arguments": "{not json"})]
    call = measured(tmp_path, called, talked(2, 3))
    assert (call.tools[0].ok, call.tools[0].arguments) == (None, "{not json")
    assert "never finished" in call.story()


def test_an_answer_that_ends_after_the_next_turn_began_stays_with_its_own(tmp_path: Path) -> None:
    call = measured(tmp_path, spoke(1, 2, "one"), talked(3, 6), spoke(4.5, 5.2, "two"))
    assert [len(turn.replies) for turn in call.turns] == [0, 1, 0]


def test_percentiles_are_values_that_occurred() -> None:
    assert Spread.of(range(1, 101)) == Spread(100, 50, 95, 100)
    assert Spread.of([]) is None


def test_stretches_of_speech_are_arithmetic() -> None:
    assert merged([Span(2, 3), Span(0, 1), Span(0.5, 1.5), Span(4, 4)]) == [Span(0, 1.5), Span(2, 3)]
    assert overlaps([Span(0, 2), Span(3, 5)], [Span(1, 4)]) == [Span(1, 2), Span(3, 4)]
    assert overlaps([Span(0, 1.05)], [Span(1, 2)]) == []
    assert silences([Span(0, 1)], [Span(0.5, 2)], 3, 1.0) == [Silence(2, 3, "agent")]


def test_the_beginning_of_a_reply_is_where_the_call_says_it(tmp_path: Path) -> None:
    """Times count from the answer, where the recording begins, whatever the loop's clock says."""
    call = VirtualCall(Agent(greeting="Hello."), [Says("hi", at=agent_begins() + 3)]).play()
    assert measure(write_call(tmp_path, call.events)).turns[0].replies[0].start_s < 0.2

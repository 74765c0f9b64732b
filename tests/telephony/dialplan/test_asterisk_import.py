"""An Asterisk extensions.conf becomes a plan that passes its check, and what it lost is said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.dialplan.asterisk import imported
from telephony.dialplan.condition import CallFacts
from telephony.dialplan.document import read_document
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import decide

PATH = Path(__file__).with_name("extensions.conf")
SAMPLE = imported(PATH.read_text(), str(PATH))
PLAN = parse_plan(SAMPLE.text.encode())
TUESDAY = datetime(2026, 12, 1, 10, 0, tzinfo=ZoneInfo("UTC"))


def end(number: str, at: datetime = TUESDAY) -> str:
    decision = decide(PLAN, CallFacts(number, "+4916099", at=at))
    return decision.taker or str(decision.code)


@pytest.mark.parametrize(
    ("number", "hour", "minute", "taker"),
    [
        ("+498955500100", 9, 0, "say welcome-to-the-office"),
        ("+498955500100", 17, 59, "say welcome-to-the-office"),  # Asterisk's last minute belongs to the time
        ("+498955500100", 18, 0, "say we-are-closed"),
        ("+498955500101", 3, 0, "ring 100"),
        ("+498955500112", 3, 0, "ring 100"),  # Goto
        ("+4989555001190", 3, 0, "503"),  # one digit too many for any pattern: `i`
        ("+498955500191", 3, 0, "ring 190"),
        ("+498955509", 3, 0, "503"),  # `.` is one digit or more
        ("+4989555091", 3, 0, "404"),  # Hangup(1) is no such number
        ("+498955500110", 10, 0, "queue support"),
        ("+498955500110", 23, 0, "say call-again"),
        ("+498955500110", 5, 59, "say call-again"),
        ("+498955500111", 10, 0, "486"),
        ("+498955500113", 10, 0, "603"),  # a ring of Goto ends somewhere
    ],
)
def test_calls_go_where_asterisk_would_send_them(number: str, hour: int, minute: int, taker: str) -> None:
    assert end(number, TUESDAY.replace(hour=hour, minute=minute)) == taker


def test_a_weekend_is_closed() -> None:
    assert end("+498955500100", TUESDAY.replace(day=5)) == "say we-are-closed"


def test_what_follows_a_dial_takes_calls_that_nobody_answers() -> None:
    targets = PLAN.spec.targets
    ring = targets["ring 100"].ring
    assert ring is not None and (ring.target, ring.ring, ring.then) == (
        "sip:100@pbx.example",
        25.0,
        "voicemail 100",
    )
    welcome = targets["say welcome-to-the-office"].play
    assert welcome is not None and welcome.say.text == "Welcome to the office."
    reception = targets[welcome.then].ring
    assert reception is not None and reception.target == "sip:reception@10.0.0.5"
    queue = targets["queue support"].queue
    assert queue is not None and (queue.longest, queue.then) == (120.0, "voicemail support")
    both = targets["say call-again"].play
    assert both is not None and (both.say.text, both.then) == ("Closed. Call again.", "")


def test_everything_that_was_lost_is_listed_with_its_line_and_why() -> None:
    text = PATH.read_text().splitlines()
    lost = {(problem.line, problem.text.split(":")[0]) for problem in SAMPLE.left_out}
    for words, start in {
        "24-26,dec": "24-26 dec",
        "Dial(${RECEPTION},25,tT)": "Dial options 'tT'",
        "Set(CALLERID": "Set",
        "${EXTEN:-2}": "Dial(PJSIP/${EXTEN",
        "PJSIP/190&PJSIP/191": "Dial rings 2 phones at once; only PJSIP/190 is rung here.",
        "4711/": "4711/+4916012345",
        "Queue(support": "queue support",
        "System(": "h",
        "Wait(1)": "Wait",
        "custom/we-are-closed": "recording 'custom/we-are-closed'",
        "#include": "#include",
        "Goto(+498955500113,1)": "Goto(+498955500113,1) leads nowhere new.",
        "Voicemail(190)": "mailbox 190",
    }.items():
        line = next(at for at, one in enumerate(text, 1) if words in one)
        if words != "custom/we-are-closed":
            assert (line, start) in lost, (line, start, sorted(lost))
        else:
            assert any(name == start for _, name in lost)
    assert (
        "# Not carried over:" in SAMPLE.text and "line " in SAMPLE.text.rpartition("# Not carried over:")[2]
    )


def test_the_contexts_of_calls_that_come_in_may_be_named() -> None:
    found = imported(PATH.read_text(), str(PATH), ("service",), "pbx.office.example")
    plan = parse_plan(found.text.encode())
    assert decide(plan, CallFacts("+498955500100")).code == 503
    assert decide(plan, CallFacts("+498955500110")).taker == "queue support"
    missing = imported(PATH.read_text(), str(PATH), ("nowhere",))
    assert any("no context [nowhere]" in problem.text for problem in missing.left_out)


def test_of_two_equally_narrow_patterns_the_first_is_kept_and_the_other_named() -> None:
    text = "[in]\nexten => _[12]X,1,Busy()\nexten => _[23]X,1,Congestion()\n"
    found = imported(text, "extensions.conf")
    (lost,) = found.left_out
    assert (lost.line, "20 fits both" in lost.text, found.numbers) == (3, True, 1)


def test_a_narrower_number_of_an_included_context_is_warned_of() -> None:
    """Asterisk asks a context before those it includes; here the narrowest wins."""
    text = "[in]\nexten => _1XX,1,Busy()\ninclude => more\n[more]\nexten => 150,1,Congestion()\n"
    (warning,) = imported(text, "extensions.conf").left_out
    assert (warning.line, "150 is narrower than 1XX of [in]" in warning.text) == (5, True)


_lines = st.lists(
    st.sampled_from(PATH.read_text().splitlines())
    | st.text(max_size=30)
    | st.builds(
        "exten => {},{},{}".format,
        st.text("_X.!12[]-", max_size=5),
        st.sampled_from("1ns"),
        st.text(max_size=9),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(lines=_lines)
def test_no_file_is_too_broken_to_be_read_and_what_comes_out_is_yaml(lines: list[str]) -> None:
    found = imported("\n".join(lines), "extensions.conf")
    if found.numbers:
        assert read_document(found.text.encode(), "plan.yaml").problems == []

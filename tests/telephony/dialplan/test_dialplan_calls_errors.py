"""What an admin is told when numbers, targets, hours or fallbacks cannot work: file, line, fact and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems, Problem
from telephony.dialplan.load import PlanErrors, load, load_plan, parse_plan
from telephony.dialplan.match import Plan
from telephony.dialplan.trial import failed_tests

GOOD = """\
version: 1
timezone: Europe/Berlin
allowed: ["+49*"]
trunks: [telekom]
defaults: {consent: May we record?}
calendars:
  office:
    open:
      mon-fri: ["08:00-12:30", "13:30-18:00"]
      sat: "09:00-13:00"
    holidays: {2026-12-25: Christmas}
    closed: {2026-12-24: eve}
    open_also: {2026-12-13: "10:00-14:00"}
lists:
  vip: ["+49171*"]
agents:
  desk:
    instructions: Be nice.
    transfer_to: {boss: "+4989555"}
  night: {instructions: We are closed.}
targets:
  box: {voicemail: Leave a message.}
  boss: {ring: {target: "+4989556", then: box}}
  choice: {menu: {say: Press 1., keys: {"1": desk}, then: box}}
  trial: {split: {desk: 90%, night: 10%}}
  away: {redirect: "sip:pbx@partner.example"}
numbers:
  - number: "+4989100"
    max_calls: {limit: 5, then: box}
    routes:
      - {when: {caller: vip}, agent: desk}
      - {when: {calendar: office, is: open}, agent: desk}
      - {when: {day: sat-sun, time: "07:00-20:00"}, target: box}
      - {agent: night}
  - number: "+4989200"
    open: office
    agent: desk
    on_failure: {closed: night, overload: away, provider_outage: boss, agent_crash: night}
  - {number: "+49893XX", target: trial}
tests:
  - {call: "+4989100", trunk: telekom, at: "2026-11-30 10:00", expect: desk}
"""


def problems(text: str, trunks: dict[str, int] | None = None) -> list[Problem]:
    with pytest.raises(FileProblems) as caught:
        parse_plan(text.encode(), "plan.yaml", trunks=trunks)
    return caught.value.problems


def test_the_plan_that_the_errors_below_are_made_from_is_good() -> None:
    plan = parse_plan(GOOD.encode(), trunks={"telekom": 10})
    assert isinstance(plan, Plan)
    assert failed_tests(plan) == []


CASES = [
    # what is edited, by what, line, column, words that the message must contain
    ("timezone: Europe/Berlin", "timezone: Europe/Munich", 2, 11, "there is no time zone 'Europe/Munich'"),
    ("timezone: Europe/Berlin", "timezone: berlin", 2, 11, "Did you mean 'Europe/Berlin'?"),
    ("timezone: Europe/Berlin\n", "", 6, 3, "'office' has no time zone. Add `timezone: Europe/Berlin`"),
    ('["+49*"]', '["+49YX"]', 3, 11, "'Y' is neither a digit nor a pattern letter"),
    ("trunks: [telekom]", "trunks: {telekom: {numbers: national xx}}", 4, 29, "'XX' is no country"),
    ("trunks: [telekom]", "trunks: {telekom: {numbers: local}}", 4, 29, "no way to send numbers"),
    (
        "trunks: [telekom]",
        "trunks: [telecom]",
        4,
        10,
        "no trunk 'telecom' in the settings. Did you mean 'telekom'?",
    ),
    ("mon-fri:", "mon-frei:", 9, 7, "is no day. Did you mean 'fri'?"),
    ('"08:00-12:30"', '"08:00-25:30"', 9, 17, "is not a time of day"),
    ('"08:00-12:30"', '"08:00-08:00"', 9, 17, "is empty: it ends when it begins"),
    ('"08:00-12:30"', '"08:00-14:00"', 9, 32, "08:00-14:00 and 13:30-18:00 overlap on mon"),
    ('      sat: "09:00-13:00"', '      fri: "09:00-13:00"', 10, 12, "overlap on fri"),
    ("{2026-12-25: Christmas}", "{2026-02-30: x}", 11, 16, "neither a date nor an iCalendar file"),
    ("{2026-12-25: Christmas}", "[DE-BY]", 11, 16, "holidays of a region are not built in"),
    ("{2026-12-25: Christmas}", "[gone.ics]", 11, 16, "gone.ics: No such file or directory"),
    ("closed: {2026-12-24: eve}", "closed: {2026-12-24..2026-12-01: eve}", 12, 14, "ends before it begins"),
    ("closed: {2026-12-24: eve}", "closed: {2026-12-13: eve}", 12, 14, "both closed and in `open_also`"),
    (
        "closed: {2026-12-24: eve}",
        "closd: {2026-12-24: eve}",
        12,
        5,
        "unknown key 'closd'. Did you mean 'closed'?",
    ),
    ('["+49171*"]', '["+49171Q"]', 15, 9, "'Q' is neither a digit nor a pattern letter"),
    ('["+49171*"]', "{file: gone.csv}", 15, 15, "gone.csv: No such file or directory"),
    ('["+49171*"]', "{numbers: []}", 15, 3, "list 'vip' is empty"),
    (
        '{boss: "+4989555"}',
        '{boss: "+1900555"}',
        19,
        25,
        "'+1900555' is outside the prefixes that `allowed` names",
    ),
    (
        "instructions: Be nice.",
        "instructions: Use gsk_abcdefghijklmnopqrstuv.",
        18,
        19,
        "looks like a secret",
    ),
    (
        "  box: {voicemail: Leave a message.}",
        "  box: {}",
        22,
        3,
        "target 'box' does nothing. Write one of ring",
    ),
    (
        "  box: {voicemail: Leave a message.}",
        "  box: {play: x, reject: 404}",
        22,
        3,
        "has both play and reject",
    ),
    (
        "  box: {voicemail: Leave a message.}",
        "  night: {play: x}\n  box: {play: x}",
        22,
        3,
        "'night' is an agent already",
    ),
    (
        "  box: {voicemail: Leave a message.}",
        "  box: {play: {say: x, then: boss}}",
        22,
        3,
        "leads back to itself",
    ),
    ('target: "+4989556", then: box', 'target: "+1900556", then: box', 23, 25, "outside the prefixes"),
    (
        'target: "+4989556", then: box',
        'target: "+4989556", then: bx',
        23,
        43,
        "nobody is called 'bx'. Did you mean 'box'?",
    ),
    ('target: "+4989556", then: box', 'target: "+4989556", then: away', 23, 43, "'away' answers no call"),
    ('keys: {"1": desk}', 'keys: {"1": dsek}', 24, 46, "nobody is called 'dsek'. Did you mean 'desk'?"),
    ('keys: {"1": desk}', "keys: {A1: desk}", 24, 41, "'A1' is no key of a telephone. Write one of 0 to 9"),
    ("night: 10%", "night: 20%", 25, 11, "the shares are 110% together. Make them 100%."),
    ("night: 10%", "nihgt: 10%", 25, 30, "nobody is called 'nihgt'. Did you mean 'night'?"),
    ("night: 10%", "night: 10", 25, 37, "'10' is not a share. Write it like 90%."),
    ("{limit: 5, then: box}", "{limit: 50, then: box}", 29, 24, "the plan's trunks bring 10 at most"),
    ("{limit: 5, then: box}", "{limit: 5, then: bax}", 29, 33, "nobody is called 'bax'. Did you mean 'box'?"),
    ("{limit: 5, then: box}", "5 calls", 29, 16, "must be a whole number"),
    ("caller: vip", "caller: vpi", 31, 25, "no list 'vpi'. Did you mean 'vip'?"),
    ("caller: vip", "trunk: telecom", 31, 24, "no trunk 'telecom'. Did you mean 'telekom'?"),
    ("caller: vip", "header: {From: x}", 31, 26, "header 'From' is not passed to the plan"),
    ("caller: vip", "language: German please", 31, 27, "is not a language"),
    ("caller: vip", "load: high", 31, 23, "'high' is not a load. Write it like 80%"),
    ("caller: vip", "callr: vip", 31, 17, "unknown key 'callr'. Did you mean 'caller'?"),
    (
        "{when: {caller: vip}, agent: desk}",
        "{agent: desk}",
        32,
        9,
        "never reached: the one before it has no `when`",
    ),
    ("{when: {caller: vip}, agent: desk}", "{when: {caller: vip}}", 31, 9, "this route has no `agent`"),
    ("{when: {caller: vip}, agent: desk}", "{when: {}, agent: desk}", 31, 10, "`when` says nothing"),
    (
        "{calendar: office, is: open}",
        "{calendar: ofice, is: open}",
        32,
        27,
        "no calendar 'ofice'. Did you mean 'office'?",
    ),
    ("{calendar: office, is: open}", "{is: open}", 32, 17, "`is` of which calendar?"),
    ("day: sat-sun, time", "day: sat, date: 2026-12-21, time", 33, 10, "this is never true"),
    (
        '{when: {day: sat-sun, time: "07:00-20:00"}, target: box}',
        "{when: {calendar: office, is: open, day: mon}, target: box}",
        33,
        10,
        "never reached: earlier ones take all its hours",
    ),
    ("      - {agent: night}\n", "", 30, 5, "no route is left on mon 00:00"),
    ("    open: office", "    open: ofice", 36, 11, "no calendar 'ofice'. Did you mean 'office'?"),
    ("closed: night, overload", "overload", 36, 5, "outside the hours of 'office' nobody takes the calls"),
    ("    open: office\n", "", 37, 18, "`closed` needs hours"),
    (
        "closed: night, overload",
        "closed: nigth, overload",
        38,
        26,
        "nobody is called 'nigth', and it is no SIP address",
    ),
    ("overload: away", "overload: box", 38, 43, "'box' needs a worker, and none is free then"),
    ("provider_outage: boss", "provider_outage: night", 38, 66, "needs the voice or model that has failed"),
    ("agent_crash: night", "agent_crash: desk", 38, 85, "'desk' cannot stand in for itself"),
    ("target: trial", "target: trail", 39, 34, "no target 'trail'. Did you mean 'trial'?"),
    ("target: trial", "agent: trial", 39, 33, "'trial' is a target. Write `target: trial`."),
    ("target: trial", "target: trial, agent: desk", 39, 5, "has both `agent` and `target`"),
    ("target: trial", "target: trial, recording: sometimes", 39, 52, "Allowed: on, off, announce or ask"),
    ('"+49893XX"', '"/^+49.*$/"', 39, 14, "is a regular expression, which is not supported"),
    ('"+49893XX"', '"sip:alice@example.com"', 39, 14, "only the user counts, not the host. Write sip:alice."),
    ("target: trial", "target: trial, priority: 1000", 39, 51, "less than or equal to 100"),
    ("{consent: May we record?}", "{recording: ask}", 5, 23, "`recording: ask` asks what?"),
    ("{consent: May we record?}", "{consent_required: yes}", 5, 11, "records without consent"),
    (
        "{consent: May we record?}",
        "{language: de-DE, stt: pocketsphinx}",
        5,
        22,
        "pocketsphinx understands en, not de-DE",
    ),
    ("{consent: May we record?}", "{tts: espeak, voice: de}", 5, 32, "the voice 'de' does not speak en-US"),
    (
        "{consent: May we record?}",
        "{tts: [elevenlabs, espeak], voice: Anna}",
        5,
        46,
        "the voice 'Anna' is elevenlabs's, and espeak has none",
    ),
    (
        "    instructions: Be nice.",
        '    instructions: x\n    tools: ["json:dumbs"]',
        19,
        13,
        "json has no 'dumbs'. Did you mean 'dump",
    ),
    (
        "    instructions: Be nice.",
        '    instructions: x\n    tools: ["no.such:tool"]',
        19,
        13,
        "there is no module no.such",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"), CASES, ids=[case[1].strip()[:50] for case in CASES]
)
def test_a_mistake_is_reported_where_it_stands(
    old: str, new: str, line: int, column: int, words: str
) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1), {"telekom": 10})
    told = [p for p in found if (p.line, p.column) == (line, column) and words in p.text]
    assert told, "\n".join(map(str, found))


def test_a_rule_below_one_of_higher_priority_that_takes_all_its_numbers_is_never_reached() -> None:
    text = GOOD.replace('{number: "+49893XX", target: trial}', '{number: "+4989*", agent: desk, priority: 5}')
    found = problems(text, {"telekom": 10})
    assert [(p.line, "never reached" in p.text) for p in found] == [(28, True), (35, True)]


def test_a_number_that_no_trunk_sends_that_way_is_an_error() -> None:
    text = GOOD.replace("trunks: [telekom]", "trunks: {telekom: {numbers: national de}}")
    text = text.replace("+49893XX", "089300XX")
    (problem,) = problems(text, {"telekom": 10})
    assert problem.line == 39 and "is not E.164" in problem.text


def test_a_test_that_fails_is_a_problem_at_its_line_with_the_reason() -> None:
    plan = parse_plan(GOOD.replace("expect: desk", "expect: night").encode(), "plan.yaml")
    (problem,) = failed_tests(plan)
    assert problem.line == 41
    assert "goes to desk, not night" in problem.text
    assert "line 32 +4989100: takes the call" in problem.text
    plan = parse_plan(GOOD.replace("2026-11-30 10:00", "tomorrow").encode(), "plan.yaml")
    assert "'tomorrow' is not a time" in failed_tests(plan)[0].text


# ---------------------------------------------------------------- several files


def test_an_imported_file_adds_to_the_plan_and_its_mistakes_are_told_with_its_own_name(
    tmp_path: Path,
) -> None:
    main, agents = tmp_path / "main.yaml", tmp_path / "agents.yaml"
    main.write_text(
        "version: 1\nimports: [agents.yaml]\nagents: {a: {instructions: x}}\nnumbers: [{number: 1, agent: b}]\n"
    )
    agents.write_text("agents:\n  b: {instructions: x}\nnumbers:\n  - {number: 2, agent: a}\n")
    plan = load_plan(main)
    assert plan.files == (str(main), str(agents))
    before = plan.version
    agents.write_text("agents:\n  b: {instructions: x, handoff: c}\nnumbers:\n  - {number: 2, agent: z}\n")
    result = load(main)
    assert isinstance(result, PlanErrors)
    assert [(p.path, p.line) for p in result.problems] == [(str(agents), 2), (str(agents), 4)]
    agents.write_text("agents:\n  b: {instructions: y}\n")
    assert load_plan(main).version != before


def test_what_may_not_stand_in_an_imported_file_and_what_is_there_twice_is_told(tmp_path: Path) -> None:
    main, more = tmp_path / "main.yaml", tmp_path / "more.yaml"
    main.write_text(
        "version: 1\nimports: [more.yaml, gone.yaml]\nagents: {a: {instructions: x}}\n"
        "numbers: [{number: 1, agent: a}]\n"
    )
    more.write_text("name: x\nimports: [main.yaml]\nagents:\n  a: {instructions: x}\n")
    result = load(main)
    assert isinstance(result, PlanErrors)
    told = [f"{Path(p.path).name}:{p.line} {p.text}" for p in result.problems]
    assert told[0].startswith("main.yaml:2 ") and "gone.yaml cannot be read: No such file" in told[0]
    assert told[1].startswith("more.yaml:1 'name' may not stand in an imported file")
    assert told[2].startswith("more.yaml:2 'main.yaml' is imported already")
    assert told[3].startswith("more.yaml:4 agent 'a' is already in ")
    assert len(told) == 4


# ---------------------------------------------------------------- anything at all


def test_aliases_may_not_multiply_a_block_without_end() -> None:
    """Billion laughs by width: one block, repeated in a flat list."""
    block = f"a: &a [{', '.join(['x'] * 1000)}]\n"
    found = problems(block + f"b: [{', '.join(['*a'] * 200)}]\n")
    assert any("aliases repeat more than" in p.text for p in found)

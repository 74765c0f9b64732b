"""What an admin is told when the file is wrong: line, column, fact and remedy, all problems at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems, Problem
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import Plan
from telephony.errors import PlanError

GOOD = """\
version: 1
agents:
  desk:
    instructions: Be nice.
    tools: [hang_up, transfer, "shop.tools:look_up"]
    handoff: [night]
    transfer_to: {boss: sip:boss@pbx.example.com}
    script:
      intents:
        - name: hours
          phrases: [when are you open]
          say: From nine.
        - name: order
          phrases: ["order {digits:4}"]
          tool: look_up
          arguments: {number: "{digits}"}
          then_say: "{result}"
  night:
    instructions: We are closed.
numbers:
  - number: "100"
    agent: desk
  - number: 1XX
    agent: night
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module whose tools the plans name."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tools.py").write_text("def look_up(number: str) -> str:\n    return number\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def problems(text: str) -> list[Problem]:
    with pytest.raises(FileProblems) as caught:
        parse_plan(text.encode(), "plan.yaml")
    return caught.value.problems


def only_problem(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def test_the_plan_that_the_errors_below_are_made_from_is_good() -> None:
    """Otherwise every test here would pass for the wrong reason."""
    assert isinstance(parse_plan(GOOD.encode()), Plan)


CASES = [
    # what is edited, by what, line, column, words that the message must contain
    ("    handoff: [night]", "    handof: [night]", 6, 5, "unknown key 'handof'. Did you mean 'handoff'?"),
    ("version: 1", "version: 2", 1, 10, "'version' is '2'. Allowed: 1."),
    ("version: 1\n", "", 1, 1, "'version' is missing"),
    ("    agent: desk", "    agent: dsek", 22, 12, "no agent 'dsek'. Did you mean 'desk'?"),
    ("    handoff: [night]", "    handoff: [nihgt]", 6, 15, "no such agent. Did you mean 'night'?"),
    ("    handoff: [night]", "    handoff: [night, desk]", 6, 22, "'desk' hands over to itself"),
    (
        "[hang_up, transfer,",
        "[hangup, transfer,",
        5,
        13,
        "no built-in tool 'hangup'. Did you mean 'hang_up'?",
    ),
    ('"shop.tools:look_up"', '"shop.tools.look_up"', 5, 32, "Write it as package.module:function"),
    ("    instructions: We are closed.", "    greeting: Hi.", 18, 3, "agent 'night' knows nothing"),
    (
        "    instructions: We are closed.",
        "    instructions:",
        19,
        5,
        "'instructions' is empty. Write a value",
    ),
    ("    instructions: We are closed.", "    instructions: [a]", 19, 5, "must be text, found a list"),
    (
        "    handoff: [night]",
        '    pronounce: {Lee: " "}',
        6,
        16,
        "says nothing. Write a word and how it sounds",
    ),
    ("    handoff: [night]", "    pronounce: {'Lee ': lee}", 6, 16, "space at its end, which is never met"),
    ("    handoff: [night]", "    pronounce: [Lee]", 6, 5, "'pronounce' must be"),
    ("    handoff: [night]", "    handoff: {night: 1}", 6, 5, "'handoff' must be a list, found a mapping"),
    ("    handoff: [night]", "    language: english please", 6, 15, "is not a language. Write it like en-US"),
    ("    handoff: [night]", "    voice: {speed: fast}", 6, 20, "'speed' must be a number, found 'fast'"),
    ("    handoff: [night]", "    voice: {sped: 1.2}", 6, 13, "unknown key 'sped'. Did you mean 'speed'?"),
    ("    handoff: [night]", "    stt: {model: tiny}", 6, 10, "a provider needs its name. Add `provider:`"),
    ("    handoff: [night]", "    stt: []", 6, 5, "'stt' is empty. Write at least one entry."),
    ("    handoff: [night]", "    stt: [groq, {model: tiny}]", 6, 17, "a provider needs its name"),
    ("    handoff: [night]", "    tts: [espeak, {speed: 1}, x]", 6, 19, "a provider needs its name"),
    ("    handoff: [night]", "    llm: [groq, scripted, groq]", 6, 27, "cannot stand in for itself"),
    (
        "    handoff: [night]",
        "    llm: [scripted, {provider: groq, api_key: x}]",
        6,
        38,
        "'api_key' is a secret. Put it into .env",
    ),
    ("    handoff: [night]", "    python: shop.Desk", 6, 13, "Write it as package.module:Class"),
    (
        "    handoff: [night]",
        "    llm: {provider: groq, api_key: x}",
        6,
        27,
        "'api_key' is a secret. Put it into .env",
    ),
    ("sip:boss@pbx.example.com", "ask for her", 7, 25, "'ask for her' is no transfer target"),
    ("sip:boss@pbx.example.com", "{target: sip:b@p, release: yes}", 7, 43, "needs `attended: yes`"),
    ("sip:boss@pbx.example.com", "{target: sip:b@p, fallback: blind}", 7, 53, "is blind anyway"),
    ("sip:boss@pbx.example.com", "{target: sip:b@p, ring: soon}", 7, 49, "'soon' is not a duration"),
    ("sip:boss@pbx.example.com", "{attended: yes}", 7, 19, "'target' is missing"),
    (
        "    transfer_to: {boss: sip:boss@pbx.example.com}\n",
        "",
        5,
        22,
        "there is no target. Add `transfer_to`",
    ),
    (
        "          tool: look_up",
        "          tool: lookup",
        15,
        17,
        "not granted to this agent. Did you mean 'look_up'?",
    ),
    ("          say: From nine.", "          handoff: nigt", 12, 20, "Did you mean 'night'?"),
    (
        "          say: From nine.",
        "          transfer: bos",
        12,
        21,
        "no transfer target 'bos'. Did you mean 'boss'?",
    ),
    ("          say: From nine.", "          after: ordr\n          say: x", 12, 18, "Did you mean 'order'?"),
    (
        "          say: From nine.",
        "          handoff: night\n          hang_up: yes",
        13,
        11,
        "handoff and hang_up. Keep one",
    ),
    ("          say: From nine.", "          then_say: x", 10, 11, "says and does nothing"),
    ("          say: From nine.", "          hang_up: maybe", 12, 20, "must be yes or no, found 'maybe'"),
    (
        "          say: From nine.",
        '          say: "{date}?"',
        12,
        16,
        "{date} stays empty: not every phrase has it",
    ),
    ("          say: From nine.", '          say: "{result}"', 12, 16, "{result} stays empty"),
    ("        - name: order", "        - name: hours", 13, 17, "intent 'hours' is there already"),
    ("order {digits:4}", "order {digts:4}", 14, 21, "no slot {digts:4}. Did you mean 'digits'?"),
    ("order {digits:4}", "order {digits:4", 14, 21, "a brace is not closed"),
    ("[when are you open]", "[]", 11, 11, "'phrases' is empty. Write at least one entry"),
    ("    agent: night", "    agent: night\n    reject: 404", 23, 5, "has both `agent` and `reject`"),
    ("    agent: night", "    name: night", 23, 5, "has no `agent`. Add one, or `target:`, or `reject: 404`"),
    ("    agent: night", "    agent: night\n    redirect: sip:a@b", 23, 5, "has both `agent` and `redirect`"),
    ("    agent: night", "    redirect: 4711", 24, 15, "'4711' is nowhere to send a caller"),
    ("    agent: night", "    reject: 200", 24, 13, "greater than or equal to 400"),
    (
        "    agent: night",
        "    agent: night\n    max_call: 25",
        25,
        15,
        "Write a number with its unit: 30s, 20m or 2h",
    ),
    ("number: 1XX", "number: 1YX", 23, 13, "'Y' is neither a digit nor a pattern letter"),
    ("number: 1XX", "number: 1xX", 23, 13, "'x' is not a pattern letter. Did you mean 'X'?"),
    ("number: 1XX", 'number: "1[7-3]"', 23, 13, "[7-3] is not a range of digits"),
    ("number: 1XX", 'number: "1[3-7"', 23, 13, "'[' is not closed"),
    ("number: 1XX", "number: 1+49", 23, 13, "'+' may only come first"),
    ("number: 1XX", 'number: " - "', 23, 13, "the number is empty"),
    ("number: 1XX", "number: 10-0", 23, 13, "'10-0' is the same as '100' in line 21"),
    ("number: 1XX", "number: 10[0-0]", 23, 13, "is the same as '100' in line 21"),
    (
        "    agent: night",
        "    agent: night\n  - number: 1[0-9]X\n    agent: desk",
        25,
        13,
        "is the same as '1XX'",
    ),
    ("numbers:", "number:", 20, 1, "unknown key 'number'. Did you mean 'numbers'?"),
    ("  night:\n", "  desk:\n", 18, 3, "key 'desk' is already in line 3. Keep one of the two"),
    ("    agent: night", "    agent: night\n    agent: desk", 25, 5, "key 'agent' is already in line 24"),
    ("instructions: Be nice.", "instructions: !!python/object:os.x Be.", 4, 19, "the YAML tag"),
    ("    handoff: [night]", "    <<: {a: b}", 6, 5, "merge keys (<<) are not supported"),
    ("    handoff: [night]", "    handoff: [night", 7, 16, "not YAML: while parsing a flow sequence"),
    ("    handoff: [night]", "\thandoff: [night]", 6, 1, "not YAML"),
    ("    handoff: [night]", "    handoff: *all", 6, 14, "*all names no anchor above it"),
    ("    handoff: [night]", "    ? [a]\n    : b", 6, 7, "a key must be plain text"),
    ("version: 1", "---\nversion: 1\n---", 3, 1, "a second YAML document begins here"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"), CASES, ids=[case[1].strip() for case in CASES]
)
def test_a_mistake_is_reported_where_it_stands(
    old: str, new: str, line: int, column: int, words: str
) -> None:
    """Line and column are those of the wrong word; the message says how to mend it."""
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any((p.line, p.column) == (line, column) and words in p.text for p in found), "\n".join(
        map(str, found)
    )


def test_every_mistake_is_reported_at_once() -> None:
    """Nobody mends a plan one error a time: wrong keys, wrong values and wrong names come together."""
    text = GOOD.replace("handoff: [night]", "handof: [night]").replace("agent: desk", "agent: dsek")
    text = text.replace("number: 1XX", "number: 1QX").replace("tool: look_up", "tool: lookup")
    text = text.replace("instructions: We are closed.", "instructions: x\n    instructions: y")
    assert [p.line for p in problems(text)] == [6, 15, 20, 23, 24]


def test_the_message_has_one_line_a_problem_each_with_its_place() -> None:
    """The form that editors and CI logs turn into links."""
    with pytest.raises(PlanError) as caught:
        parse_plan(GOOD.replace("agent: desk", "agent: dsek").encode(), "plans/a.yaml")
    assert str(caught.value) == "plans/a.yaml:22:12: no agent 'dsek'. Did you mean 'desk'?"


def test_an_agent_that_cannot_be_read_is_not_called_unknown_as_well() -> None:
    """One mistake, one message."""
    assert only_problem(GOOD.replace("instructions: We are closed.", "language: '??'")).line == 19


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        ("agents:", "agents:", []),
        (
            "  - number: 1XX\n    agent: night\n",
            "",
            [],
        ),  # then the only number is the one with the wrong unit
        ("numbers:", "nmbers:", [(20, 1)]),  # not missing as well; its numbers have not been looked at
        ("{boss: sip:boss@pbx.example.com}", "{boss: ask her}", [(7, 25)]),
        ("[hang_up, transfer,", "[hangup, transfer,", [(5, 13)]),
        ('"shop.tools:look_up"', "shop", [(5, 32)]),
        ("handoff: [night]", "handoff: {a: b}", [(6, 5)]),
        ('["order {digits:4}"]', '["order {digts:4}"]', [(14, 21)]),
        ("    instructions: We are closed.", "    instructions: [a]", [(19, 5)]),
        ("version: 1", "version: 2", [(1, 10)]),
    ],
)
def test_a_mistake_brings_no_second_complaint_and_hides_no_other(
    old: str, new: str, places: list[tuple[int, int]]
) -> None:
    """What one mistake takes out of the plan is not missed there, and another, of a number, is told beside it."""
    text = GOOD.replace('"100"\n', '"100"\n    max_call: 25\n').replace(old, new, 1)
    unit = [] if new == "nmbers:" else [(22, 15)]
    assert [(problem.line, problem.column) for problem in problems(text)] == places + unit


def test_two_patterns_equally_narrow_are_refused_with_a_number_that_hits_both() -> None:
    """[1-5] and [3-7] overlap and neither contains the other."""
    text = GOOD.replace('"100"', '"2[1-5]"').replace("1XX", '"2[3-7]"')
    found = only_problem(text)
    assert (found.line, found.column) == (23, 13)
    assert "'2[3-7]' and '2[1-5]' in line 21 both take 23" in found.text


def test_a_pattern_that_exact_numbers_use_up_is_refused() -> None:
    """A rule that no call can reach is a mistake, also when it takes ten rules to hide it."""
    rules = "".join(f'  - number: "1{digit}"\n    agent: desk\n' for digit in range(10))
    head = GOOD[: GOOD.index("numbers:")]
    pattern = "  - number: 1X\n    agent: night\n"
    assert "'1X' is never reached" in only_problem(head + "numbers:\n" + rules + pattern).text
    nine = rules.replace('  - number: "17"\n    agent: desk\n', "")
    assert parse_plan((head + "numbers:\n" + nine + pattern).encode())


@pytest.mark.parametrize("text", ["", "# only a comment\n", "hello", "[1, 2]", "42", "null", "---\n...\n"])
def test_a_file_that_is_no_mapping_is_told_how_a_plan_begins(text: str) -> None:
    """An empty file and a file of another kind."""
    assert "a dial plan begins with keys" in only_problem(text).text


def test_a_missing_file_and_a_wrong_encoding_name_the_file(tmp_path: Path) -> None:
    """The remedy is not in the file, or in every line of it."""
    with pytest.raises(FileProblems, match=r"gone\.yaml: cannot be read: No such file"):
        load_plan(tmp_path / "gone.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("version: 1\nname: M\u00fcnchen\n".encode("latin-1"))
    with pytest.raises(FileProblems, match=r"latin\.yaml:2:8: byte 0xfc is not UTF-8"):
        load_plan(latin)


def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack() -> None:
    """A thousand brackets are a typing error or an attack."""
    assert "nested more than" in only_problem("version: 1\nagents: " + "[" * 5000).text


def test_an_alias_bomb_is_refused() -> None:
    """Aliases inside anchored blocks multiply: nine lines of them make a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert any("stands inside an anchored block" in p.text for p in problems("\n".join(lines)))


def test_an_anchor_may_save_repeating_a_text() -> None:
    """The plain use of anchors works."""
    text = GOOD.replace("instructions: Be nice.", "instructions: &be Be nice.").replace(
        "We are closed.", "*be"
    )
    assert parse_plan(text.encode()).spec.agents["night"].instructions == "Be nice."


MCP = """\
version: 1
mcp:
  crm:
    command: [crm-server, --quiet]
    env_from: [CRM_PASSWORD]
    allow: [find]
  web:
    url: https://crm.example.com/mcp
    headers_env: {Authorization: CRM_AUTH}
    call_timeout: 4s
agents:
  desk:
    instructions: Be nice.
    mcp: [crm, web]
numbers:
  - number: "100"
    agent: desk
"""


def test_an_agent_gets_what_the_plan_says_of_its_mcp_servers() -> None:
    servers = parse_plan(MCP.encode()).teams["desk"]["desk"].mcp
    assert servers["crm"] is not None
    assert servers["crm"].command == ("crm-server", "--quiet")
    assert servers["web"] is not None
    assert servers["web"].call_timeout == 4.0


@pytest.mark.parametrize(
    ("good", "bad", "line", "said"),
    [
        ("mcp: [crm, web]", "mcp: [crm, wep]", 14, "no MCP server 'wep'. Did you mean 'web'?"),
        ("mcp: [crm, web]", "mcp: crn", 14, "no MCP server 'crn'. Did you mean 'crm'?"),
        ("    command: [crm-server, --quiet]\n", "", 3, "has neither `command` nor `url`"),
        ("    url: https", "    command: x\n    url: https", 7, "has both `command` and `url`"),
        (
            "url: https://crm.example.com/mcp",
            "url: crm.example.com",
            8,
            "is not the address of an MCP server",
        ),
        ("headers_env: {Authorization: CRM_AUTH}", "headers: {Authorization: Bearer x}", 9, "is a secret"),
        ("env_from: [CRM_PASSWORD]", "env: {CRM_PASSWORD: x}", 5, "is a secret"),
        ("env_from: [CRM_PASSWORD]", "headers: {X-Of: us}", 5, "'headers' has no meaning beside `command`"),
        ("call_timeout: 4s", "call_timeout: 4", 10, "is not a duration"),
        (
            "call_timeout: 4s",
            "call_timeuot: 4s",
            10,
            "unknown key 'call_timeuot'. Did you mean 'call_timeout'?",
        ),
        ("allow: [find]", 'prefix: "crm: "', 6, "cannot begin a tool's name"),
    ],
)
def test_what_is_wrong_with_an_mcp_server_is_said_with_its_line(
    good: str, bad: str, line: int, said: str
) -> None:
    assert good in MCP
    problem = only_problem(MCP.replace(good, bad))
    assert said in problem.text
    assert problem.line == line

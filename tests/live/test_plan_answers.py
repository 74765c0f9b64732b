"""What becomes of an INVITE under a dial plan, on the wire: refused, sent on, shared out, limited, outside the hours,
by trunk, header and caller."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from telephony.dialplan.condition import CallFacts
from telephony.dialplan.load import load_plan
from telephony.dialplan.match import decide
from tests.live.knocking import Knock, Knocker
from tests.live.server import Server, running_server

pytestmark = pytest.mark.timeout(180)

AGENTS = (
    "agents: {"
    + ", ".join(
        f"{name}: {{instructions: Answer., greeting: This is {name}.}}" for name in ("anna", "berta", "clara")
    )
    + "}\n"
)
SETTINGS = "access: {per_second: 0, per_second_source: 0}\n"
TRUNKS = (
    "trunks:\n  - {name: gold, allow_from: [127.0.0.2/32]}\n  - {name: base, allow_from: [127.0.0.1/32]}\n"
    "  - {name: other, allow_from: [127.0.0.3/32]}\n"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(f"version: 1\ntimezone: UTC\n{AGENTS}{text}")
    return path


async def taker(server: Server, knock: Knock) -> str:
    """The agent whose record this call is in."""
    found = [call for call in server.calls() if call.facts["sip_call_id"] == knock.call_id]
    assert len(found) == 1, server.tell(f"{len(found)} records of {knock.call_id}")
    agent: str = found[0].facts["agent"]
    return agent


async def ended(server: Server, knock: Knock) -> str:
    """Why that call is over, according to its record."""
    (call,) = [call for call in server.calls() if call.facts["sip_call_id"] == knock.call_id]
    cause: str = (await server.finished(call))["cause"]
    return cause


async def test_calls_are_refused_and_sent_on_as_the_plan_says(tmp_path: Path) -> None:
    """RFC 3261 §21: the plan's status; a 302 has the plan's addresses in its order (§8.1.3.4)."""
    plan = """
targets:
  partner: {redirect: ["sip:a@192.0.2.7", "sip:b@192.0.2.8:5070;transport=tcp"]}
  closed: {reject: 480}
numbers:
  - {number: "100", reject: 603}
  - {number: "110", target: partner}
  - {number: "111", redirect: "sip:c@192.0.2.9"}
  - {number: "120", target: closed}
  - {number: "130", agent: anna}
"""
    async with (
        running_server(
            tmp_path, spares=0, dialplan=written(tmp_path, plan), settings=SETTINGS, workers=1
        ) as server,
        Knocker.at() as caller,
    ):
        knocks = {
            number: await caller.knock(server, number)
            for number in ("100", "110", "111", "120", "130", "999")
        }
        assert {number: knock.code for number, knock in knocks.items()} == {
            "100": 603, "110": 302, "111": 302, "120": 480, "130": 200, "999": 404,
        }  # fmt: skip
        assert knocks["110"].contacts == ["sip:a@192.0.2.7", "sip:b@192.0.2.8:5070;transport=tcp"]
        assert knocks["111"].contacts == ["sip:c@192.0.2.9"]
        assert await taker(server, knocks["130"]) == "anna"
        counted = await server.metrics()
        refused = {
            code: counted[f'offhook_calls_refused_total{{code="{code}"}}'] for code in (603, 302, 480, 404)
        }
        assert refused == {603: 1.0, 302: 2.0, 480: 1.0, 404: 1.0}


async def test_trunk_header_language_and_caller_decide_who_answers(tmp_path: Path) -> None:
    """Trunks are known by their addresses; a trunk that the plan does not serve reaches nobody."""
    plan = """
trunks: [gold, base]
lists: {friends: ["+4930*"], nuisance: [anonymous, "+4916660001"]}
numbers:
  - number: "100"
    routes:
      - {when: {caller: nuisance}, reject: 603}
      - {when: {header: {X-Line: "gold*"}}, agent: berta}
      - {when: {language: de}, agent: clara}
      - {when: {trunk: gold, caller: friends}, agent: anna}
      - {when: {trunk: gold}, reject: 486}
      - {agent: clara}
"""
    async with (
        running_server(
            tmp_path, spares=0, dialplan=written(tmp_path, plan), settings=SETTINGS + TRUNKS, workers=1
        ) as server,
        Knocker.at() as base,
        Knocker.at("127.0.0.2") as gold,
        Knocker.at("127.0.0.3") as other,
    ):
        nuisance = await base.knock(server, "100", caller="+4916660001")
        hidden = await base.knock(server, "100", caller="anonymous")
        assert (nuisance.code, hidden.code) == (603, 603)
        assert (await gold.knock(server, "100", caller="+4940999")).code == 486
        assert (await other.knock(server, "100")).code == 404
        german = {"Accept-Language": "fr;q=0.3, de-AT"}
        for knock, agent in (
            (await base.knock(server, "100", headers={"X-Line": "golden"}), "berta"),
            (await base.knock(server, "100", headers={"X-Line": "silver"}), "clara"),
            (await gold.knock(server, "100", headers=german), "clara"),
            (await gold.knock(server, "100", caller="+493012345"), "anna"),
            (await base.knock(server, "100", caller="+493012345"), "clara"),
        ):
            assert knock.code == 200, server.tell(str(knock.final.result()))
            assert await taker(server, knock) == agent
        assert {call.facts["trunk"] for call in server.calls()} == {"gold", "base"}


async def test_outside_the_hours_whoever_the_plan_names_takes_the_call(tmp_path: Path) -> None:
    """By the clock on the wall: the calendar is closed today, yesterday and tomorrow, whatever the hour is."""
    today = datetime.now(UTC).date()
    span = f"{today - timedelta(days=2)}..{today + timedelta(days=2)}"
    plan = f"""
calendars:
  always: {{open: {{mon-sun: "00:00-24:00"}}}}
  never: {{open: {{mon-sun: "00:00-24:00"}}, closed: {{{span}: moving house}}}}
targets:
  night: {{play: We are closed.}}
numbers:
  - {{number: "100", open: always, agent: anna, on_failure: {{closed: night}}}}
  - {{number: "110", open: never, agent: anna, on_failure: {{closed: night}}}}
  - {{number: "120", open: never, agent: anna, on_failure: {{closed: "sip:night@192.0.2.9"}}}}
  - number: "130"
    routes:
      - {{when: {{calendar: never, is: closed}}, agent: berta}}
      - {{agent: clara}}
"""
    async with (
        running_server(
            tmp_path, spares=0, dialplan=written(tmp_path, plan), settings=SETTINGS, workers=1
        ) as server,
        Knocker.at() as caller,
    ):
        for number, agent in (("100", "anna"), ("110", "night"), ("130", "berta")):
            assert await taker(server, await caller.knock(server, number)) == agent
        sent_on = await caller.knock(server, "120")
        assert (sent_on.code, sent_on.contacts) == (302, ["sip:night@192.0.2.9"])


async def test_a_split_reaches_both_arms_in_their_shares_and_the_call_s_id_decides(tmp_path: Path) -> None:
    """A hundred calls with ids that are the same in every run; `dialplan who --call-id` says the same of each."""
    path = written(tmp_path, 'numbers: [{number: "100", split: {anna: 75%, berta: 25%}}]\n')
    async with (
        running_server(tmp_path, spares=0, dialplan=path, settings=SETTINGS, workers=1) as server,
        Knocker.at() as caller,
    ):
        seen: dict[str, str] = {}
        for number in range(100):
            knock = await caller.knock(server, "100", call_id=f"seed-{number}")
            assert knock.code == 200
            seen[knock.call_id] = await taker(server, knock)
            caller.hang_up(knock)
        arms = {call.facts["sip_call_id"]: call.facts["rule"]["arm"] for call in server.calls()}
    assert arms == seen
    counts = Counter(seen.values())
    assert set(counts) == {"anna", "berta"} and 65 <= counts["anna"] <= 85, counts
    plan = load_plan(path)
    assert seen == {one: decide(plan, CallFacts("100", "caller", call_id=one)).taker for one in seen}


async def test_limits_of_a_number_hold_and_whoever_the_plan_names_takes_the_rest(tmp_path: Path) -> None:
    """Calls at once, calls of one caller within the hour, and the length of a call."""
    plan = """
targets:
  box: {voicemail: Speak.}
numbers:
  - {number: "100", agent: anna, max_calls: {limit: 1, then: box}}
  - {number: "110", agent: anna, max_calls: 1}
  - {number: "120", agent: anna, calls_per_hour: 2}
  - {number: "130", agent: anna, max_call: 2s}
  - {number: "140", agent: anna, calls_per_hour: {limit: 1, then: "sip:queue@192.0.2.9"}}
"""
    async with (
        running_server(
            tmp_path, spares=0, dialplan=written(tmp_path, plan), settings=SETTINGS, workers=1
        ) as server,
        Knocker.at() as caller,
    ):
        first, second = await caller.knock(server, "100"), await caller.knock(server, "100")
        assert [await taker(server, knock) for knock in (first, second)] == ["anna", "box"]
        only = await caller.knock(server, "110")
        assert [only.code, (await caller.knock(server, "110")).code] == [200, 486]
        caller.hang_up(only)
        assert await ended(server, only) == "caller_hung_up"
        assert (await caller.knock(server, "110")).code == 200, "the place is free again"
        codes = [(await caller.knock(server, "120", caller="+4915001")).code for _ in range(3)]
        assert codes == [200, 200, 486]
        assert (await caller.knock(server, "120", caller="+4915002")).code == 200
        once, again = [await caller.knock(server, "140", caller="+4915001") for _ in range(2)]
        assert (once.code, again.code, again.contacts) == (200, 302, ["sip:queue@192.0.2.9"])
        short = await caller.knock(server, "130")
        async with asyncio.timeout(15):
            await short.over.wait()
        assert await ended(server, short) == "max_call"


async def test_when_all_lines_are_taken_the_plan_s_overflow_gets_the_caller(tmp_path: Path) -> None:
    """A 302 where the plan names somebody, a 503 with Retry-After where it does not."""
    plan = """
targets:
  partner: {redirect: "sip:overflow@192.0.2.9"}
numbers:
  - {number: "100", agent: anna, on_failure: {overload: partner}}
  - {number: "110", agent: anna}
"""
    async with (
        running_server(
            tmp_path,
            spares=0,
            dialplan=written(tmp_path, plan),
            settings=SETTINGS + "max_calls: 2\n",
            workers=1,
        ) as server,
        Knocker.at() as caller,
    ):
        calls = [await caller.knock(server, number) for number in ("100", "110")]
        assert [knock.code for knock in calls] == [200, 200]
        over, refused = await caller.knock(server, "100"), await caller.knock(server, "110")
        assert (over.code, over.contacts) == (302, ["sip:overflow@192.0.2.9"])
        assert refused.code == 503 and refused.final.result().headers["retry-after"]


async def test_an_agent_that_cannot_start_gives_way_to_whom_the_plan_names(tmp_path: Path) -> None:
    """Its class breaks when it is made for a call: a target answers instead, an address gets a 302."""
    plan = """
targets: {box: {voicemail: Speak.}}
numbers:
  - {number: "100", agent: broken, on_failure: {agent_crash: box}}
  - {number: "110", agent: broken, on_failure: {agent_crash: "sip:human@192.0.2.9"}}
  - {number: "120", agent: broken}
"""
    path = written(tmp_path, plan)
    path.write_text(
        path.read_text().replace("agents: {", 'agents: {broken: {python: "tests.live.crashing:Late"}, ')
    )
    async with (
        running_server(tmp_path, spares=0, dialplan=path, settings=SETTINGS, workers=1) as server,
        Knocker.at() as caller,
    ):
        box, human, nobody = [await caller.knock(server, number) for number in ("100", "110", "120")]
        assert box.code == 200
        await server.until(
            lambda: any(event["agent"] == "box" for event in server.calls()[0].of("AgentEntered")), "box", 10
        )
        assert (human.code, human.contacts) == (302, ["sip:human@192.0.2.9"])
        assert nobody.code == 503

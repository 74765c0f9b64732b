"""From a plan's personas to agents that can talk."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offhook.settings import Providers
from offhook.worker.agents import Casting
from pipeline.agent.agent import Agent
from pipeline.errors import ConfigError
from pipeline.events import AgentSpoke, Event, ProviderSwitched, ToolFinished
from pipeline.ports import Hints
from pipeline.testing.virtual_clock import run
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import match
from tests.pipeline.rig import Rig

ROOT = Path(__file__).parents[2]
FAKES = Providers.model_validate({"stt": "fake", "llm": "scripted", "tts": "fake", "vad": "fake"})


def _personas(text: str) -> dict[str, Any]:
    plan = parse_plan(text.encode(), "plan.yaml")
    return dict(match(plan, "100").agents)


def _plan(agent: str) -> str:
    return f"version: 1\nagents:\n  a:\n{agent}\nnumbers:\n  - {{number: any, agent: a}}\n"


def test_every_agent_of_the_shipped_plans_can_be_played() -> None:
    for path in [*sorted((ROOT / "dialplans").glob("*.yaml")), *sorted((ROOT / "examples").glob("*.yaml"))]:
        plan = load_plan(path)
        casting = Casting(FAKES, None)
        casting.rehearse({name: team[name] for name, team in plan.teams.items()})


def test_a_colleague_is_made_only_when_the_call_is_handed_over() -> None:
    plan = load_plan(ROOT / "dialplans" / "demo.yaml")
    casting = Casting(FAKES, None)
    agent = casting.agent(match(plan, "100").agents, "reception")
    assert set(agent.tools) >= {"hang_up", "hand_over", "transfer"}
    billing = casting.agent(match(plan, "100").agents, "billing")
    assert billing.voice.name == "en-gb"
    assert "look_up_invoice" in billing.tools
    assert "hand_over" not in billing.tools


def test_an_agent_from_a_python_class_talks_and_uses_its_tools() -> None:
    plan = load_plan(ROOT / "examples" / "weather.yaml")

    async def call() -> Rig:
        stt = {"provider": "fake", "texts": ["on friday", "goodbye"]}
        providers = Providers.model_validate({**FAKES.model_dump(), "stt": stt})
        agent = Casting(providers, None).agent(match(plan, "100").agents, "weather")
        rig = Rig(agent, speech=[(4.0, 5.0), (9.0, 9.8)])
        return await rig.run(20.0)

    rig = run(call)
    assert [event.text for event in rig.of(AgentSpoke)] == [
        "Weather line. Which day would you like to know about?",
        "It will be sunny on friday. Anything else?",
        "Goodbye.",
    ]
    assert rig.of(ToolFinished)[0].name == "forecast"
    assert rig.session.userdata == {"visits": 1, "asked": "friday"}
    assert rig.hung_up == "agent_hung_up"


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (
            '    tools: ["tests.offhook.unready:thing"]\n    instructions: x',
            r"agent 'a': cannot import 'tests.offhook.unready:thing' \(RuntimeError: no key",
        ),
        ("    python: pipeline.errors:ToolError", "agent 'a': pipeline.errors:ToolError is no Agent"),
        ("    instructions: x\n    llm: grok", "agent 'a': .*grok.*"),
        ("    instructions: x\n    tts: {provider: fake, speeed: 2}", "agent 'a': .*speeed"),
        (
            "    instructions: x\n    turn_handling: {min_delay_ms: 1}",
            "agent 'a': turn_handling: min_delay_ms",
        ),
    ],
)
def test_what_cannot_be_played_is_said_before_the_first_call_and_names_the_agent(
    agent: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Casting(FAKES, None).rehearse(_personas(_plan(agent)))


MCP = """\
version: 1
mcp:
  crm: {command: [python, -m, no_such_server], env_from: [CRM_SECRET_OF_THIS_TEST]}
agents:
  a: {instructions: x, mcp: crm}
numbers:
  - {number: any, agent: a}
"""


def test_a_secret_of_an_mcp_server_that_is_not_there_is_missed_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="agent 'a': MCP server 'crm' needs CRM_SECRET_OF_THIS_TEST"):
        Casting(FAKES, None).rehearse(_personas(MCP))
    monkeypatch.setenv("CRM_SECRET_OF_THIS_TEST", "sesame")
    Casting(FAKES, None).rehearse(_personas(MCP))


def test_calls_share_the_connection_to_an_mcp_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SECRET_OF_THIS_TEST", "sesame")
    personas, casting = _personas(MCP), Casting(FAKES, None)
    first, second = casting.agent(personas, "a"), casting.agent(personas, "a")
    assert first.tools.toolsets == second.tools.toolsets
    assert set(first.tools) == {"hang_up"}, "nobody has connected yet"


def test_a_worker_without_mcp_servers_does_not_load_the_sdk() -> None:
    """It costs half a second of a worker's start."""
    script = "import sys, offhook.worker.main; print('mcp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"


def test_calls_share_providers_but_not_agents() -> None:
    personas = _personas(_plan("    instructions: x"))
    casting = Casting(FAKES, None)
    first, second = casting.agent(personas, "a"), casting.agent(personas, "a")
    assert first is not second
    assert isinstance(first, Agent)
    assert first.tts is second.tts


def test_the_pronunciation_list_of_plan_and_agent_reaches_the_voice() -> None:
    """Row 40: the agent's entry wins over the plan's; a Python agent brings its own."""
    text = _plan("    python: examples.weather:Forecaster\n    pronounce: {SQL: sequel}")
    text = text.replace("agents:", "defaults:\n  pronounce: {SQL: es cue el, Nguyen: win}\nagents:", 1)
    agent = Casting(FAKES, None).agent(_personas(text), "a")
    assert agent.pronounce.words == {"SQL": "sequel", "Nguyen": "win"}


def test_an_entry_that_could_never_be_met_is_said_before_the_first_call() -> None:
    """Figures are read out before the list is asked."""
    text = _plan("    instructions: x\n    pronounce: {24/7: always}")
    with pytest.raises(ConfigError, match="agent 'a': pronounce: '24/7' is never met"):
        Casting(FAKES, None).rehearse(_personas(text))


def test_a_list_of_providers_is_asked_in_order_and_the_call_s_journal_says_who_stood_in() -> None:
    """The model host is not there: the other recogniser listens. All calls know, each call has its own journal."""
    personas = _personas(
        _plan("    instructions: x\n    stt: [pocketsphinx, {provider: fake, texts: [yes]}]")
    )

    async def calls() -> tuple[list[Event], list[Event]]:
        casting = Casting(FAKES, "/nowhere/models.sock")
        first, second, third = list[Event](), list[Event](), list[Event]()
        for events in (first, second, third):
            stt = casting.agent(personas, "a", events.append).stt
            assert stt is not None
            stream = await stt.open(rate_hz=8000, hints=Hints())
            await stream.aclose()
        assert asyncio.get_running_loop().time() < 2.1  # 1 s each for the first two, the third one knew
        assert casting.resting == 1
        return first, third

    for events in run(calls):
        assert [(e.old, e.new, e.cause) for e in events if isinstance(e, ProviderSwitched)] == [
            ("pocketsphinx", "fake", "timeout")
        ]


def test_the_scripted_model_may_stand_in_with_the_agent_s_own_lines() -> None:
    text = "    instructions: x\n    llm: [{provider: fake, reply: Hi.}, scripted]\n"
    text += "    script: {intents: [{name: a, phrases: [hello], say: Hello yourself.}]}"
    agent = Casting(FAKES, None).agent(_personas(_plan(text)), "a")
    assert agent.llm is not None
    assert agent.llm.name == "fake|scripted"


def test_a_stand_in_voice_has_the_name_that_the_plan_gives_it() -> None:
    text = (
        "    instructions: x\n    tts: [fake, {provider: fake, ms_per_char: 20}]\n    voice: {name: Rachel}"
    )
    agent = Casting(FAKES, None).agent(_personas(_plan(text)), "a")
    assert agent.tts is not None
    assert (agent.voice.name, agent.tts.name) == ("Rachel", "fake|fake")


def test_the_settings_may_name_stand_ins_too() -> None:
    defaults = Providers.model_validate(
        {**FAKES.model_dump(), "tts": ["fake", {"provider": "fake", "rate_hz": "16000"}]}
    )
    agent = Casting(defaults, None).agent(_personas(_plan("    instructions: x")), "a")
    assert agent.tts is not None
    assert (agent.tts.name, agent.tts.rate_hz) == ("fake|fake", 8000)


def test_how_a_caller_is_transferred_is_the_plan_s() -> None:
    """An attended transfer has limits of its own; the tool that waits for it has none."""
    where = "transfer_to: {desk: {target: sip:d@p, attended: yes, ring: 9s}, shop: '4711'}"
    personas = _personas(_plan(f"    instructions: Help.\n    {where}\n    tools: [transfer, take_message]"))
    agent = Casting(FAKES, None).agent(personas, "a")
    assert agent.tools["transfer"].timeout_s is None
    assert "take_message" in agent.tools
    blind = Casting(FAKES, None).agent(
        _personas(_plan("    instructions: Help.\n    transfer_to: {shop: '4711'}")), "a"
    )
    assert blind.tools["transfer"].timeout_s == 60.0

"""From a plan's personas to agents that can talk."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from offhook.settings import Providers
from offhook.worker.casting import Casting
from offhook.worker.on_call import OnCall
from pipeline.agent.agent import Agent
from pipeline.errors import ConfigError
from pipeline.events import AgentSpoke, Event, ProviderChosen, ProviderSwitched, ToolFinished
from pipeline.ports import Hints, Voice
from pipeline.providers import registry
from pipeline.providers.fake import FakeTts, FakeTtsStream
from pipeline.realtime.ears import RealtimeStt
from pipeline.realtime.mind import RealtimeLlm
from pipeline.realtime.mouth import RealtimeTts
from pipeline.testing.call import VirtualCall
from pipeline.testing.caller import Says
from pipeline.testing.virtual_clock import run
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import match
from tests.pipeline.flaky import text_of
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
    agent = casting.cast(match(plan, "100").agents).agent("reception")
    assert set(agent.tools) >= {"hang_up", "hand_over", "transfer"}
    billing = casting.cast(match(plan, "100").agents).agent("billing")
    assert billing.voice.name == "", "its name at espeak means nothing to another voice"
    assert "look_up_invoice" in billing.tools
    assert "hand_over" not in billing.tools


def test_an_agent_from_a_python_class_talks_and_uses_its_tools() -> None:
    plan = load_plan(ROOT / "examples" / "weather.yaml")

    async def call() -> Rig:
        stt = {"provider": "fake", "texts": ["on friday", "goodbye"]}
        providers = Providers.model_validate({**FAKES.model_dump(), "stt": stt})
        agent = Casting(providers, None).cast(match(plan, "100").agents).agent("weather")
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
        (
            "    instructions: x\n    thinking_sound: {sound: tick, loud: 3}",
            "agent 'a': thinking_sound: loud",
        ),
    ],
)
def test_what_cannot_be_played_is_said_before_the_first_call_and_names_the_agent(
    agent: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Casting(FAKES, None).rehearse(_personas(_plan(agent)))


def test_a_sound_that_is_gone_since_the_plan_was_checked_is_said_before_the_first_call() -> None:
    (persona,) = _personas(_plan("    instructions: x")).values()
    with pytest.raises(ConfigError, match=r"agent 'a': thinking_sound: .*gone\.wav.*typing"):
        Casting(FAKES, None).rehearse({"a": persona.with_thinking_sound("gone.wav")})


def test_what_a_caller_hears_while_an_agent_thinks_is_the_plan_s() -> None:
    text = _plan("    instructions: x").replace(
        "agents:", "defaults: {thinking_sound: {sound: tick, level_db: -24.5, after_ms: 500}}\nagents:"
    )
    heard = Casting(FAKES, None).cast(_personas(text)).agent("a").thinking_sound
    assert (heard.sound, heard.level_db, heard.after_ms, heard.fade_ms) == ("tick", -24.5, 500, 200)
    off = (
        Casting(FAKES, None)
        .cast(_personas(_plan("    instructions: x\n    thinking_sound: off")))
        .agent("a")
        .thinking_sound
    )
    assert not off.on


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
    first, second = casting.cast(personas).agent("a"), casting.cast(personas).agent("a")
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
    first, second = casting.cast(personas).agent("a"), casting.cast(personas).agent("a")
    assert first is not second
    assert isinstance(first, Agent)
    assert first.tts is second.tts


def test_the_pronunciation_list_of_plan_and_agent_reaches_the_voice() -> None:
    """Row 40: the agent's entry wins over the plan's; a Python agent brings its own."""
    text = _plan("    python: examples.weather:Forecaster\n    pronounce: {SQL: sequel}")
    text = text.replace("agents:", "defaults:\n  pronounce: {SQL: es cue el, Nguyen: win}\nagents:", 1)
    agent = Casting(FAKES, None).cast(_personas(text)).agent("a")
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
            stt = casting.cast(personas, OnCall(emit=events.append)).agent("a").stt
            assert stt is not None
            stream = await stt.open(rate_hz=8000, hints=Hints())
            await stream.aclose()
        assert asyncio.get_running_loop().time() < 2.1  # 1 s each for the first two, the third one knew
        assert casting.providing.resting == 1
        return first, third

    for events in run(calls):
        assert [(e.old, e.new, e.cause) for e in events if isinstance(e, ProviderSwitched)] == [
            ("pocketsphinx", "fake", "timeout")
        ]


def test_the_scripted_model_may_stand_in_with_the_agent_s_own_lines() -> None:
    text = "    instructions: x\n    llm: [{provider: fake, reply: Hi.}, scripted]\n"
    text += "    script: {intents: [{name: a, phrases: [hello], say: Hello yourself.}]}"
    agent = Casting(FAKES, None).cast(_personas(_plan(text))).agent("a")
    assert agent.llm is not None
    assert agent.llm.name == "fake|scripted"


def test_a_stand_in_voice_has_the_name_that_the_plan_gives_it() -> None:
    text = (
        "    instructions: x\n    tts: [fake, {provider: fake, ms_per_char: 20}]\n    voice: {name: Rachel}"
    )
    agent = Casting(FAKES, None).cast(_personas(_plan(text))).agent("a")
    assert agent.tts is not None
    assert (agent.voice.name, agent.tts.name) == ("Rachel", "fake|fake")


def test_the_settings_may_name_stand_ins_too() -> None:
    defaults = Providers.model_validate(
        {**FAKES.model_dump(), "tts": ["fake", {"provider": "fake", "rate_hz": "16000"}]}
    )
    agent = Casting(defaults, None).cast(_personas(_plan("    instructions: x"))).agent("a")
    assert agent.tts is not None
    assert (agent.tts.name, agent.tts.rate_hz) == ("fake|fake", 8000)


def test_how_a_caller_is_transferred_is_the_plan_s() -> None:
    """An attended transfer has limits of its own; the tool that waits for it has none."""
    where = "transfer_to: {desk: {target: sip:d@p, attended: yes, ring: 9s}, shop: '4711'}"
    personas = _personas(_plan(f"    instructions: Help.\n    {where}\n    tools: [transfer, take_message]"))
    agent = Casting(FAKES, None).cast(personas).agent("a")
    assert agent.tools["transfer"].timeout_s is None
    assert "take_message" in agent.tools
    blind = (
        Casting(FAKES, None)
        .cast(_personas(_plan("    instructions: Help.\n    transfer_to: {shop: '4711'}")))
        .agent("a")
    )
    assert blind.tools["transfer"].timeout_s == 60.0


# ---------------------------------------------------------------- keys, policies, connections


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "ELEVENLABS_API_KEY", "GROQ_BASE_URL", "ELEVENLABS_BASE_URL"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("keyless")
def test_the_shipped_providers_without_a_key_are_the_embedded_ones_and_one_line_says_so() -> None:
    plan = load_plan(ROOT / "dialplans" / "demo.yaml")
    casting = Casting(Providers(), None)
    casting.rehearse({name: team[name] for name, team in plan.teams.items()})
    assert casting.providing.notes == (
        "ELEVENLABS_API_KEY, GROQ_API_KEY not set: llm scripted for groq, stt pocketsphinx for groq, "
        "tts espeak for elevenlabs"
    )
    agent = casting.cast(match(plan, "100").agents).agent("billing")
    assert agent.stt and agent.llm and agent.tts
    assert (agent.stt.name, agent.llm.name, agent.tts.name) == ("pocketsphinx", "scripted", "espeak")
    assert agent.voice.name == "en-gb"


@pytest.mark.usefixtures("keyless")
def test_an_agent_whose_only_choice_has_no_key_stops_the_start() -> None:
    """Agent, variable, remedy."""
    said = "agent 'a': groq needs GROQ_API_KEY. Set it in the environment or in .env."
    with pytest.raises(ConfigError, match=said):
        Casting(FAKES, None).rehearse(_personas(_plan("    instructions: x\n    llm: groq")))


@pytest.mark.usefixtures("keyless")
def test_a_voice_that_stands_in_for_a_missing_key_does_not_get_the_other_s_name() -> None:
    """Rachel is ElevenLabs'; espeak would refuse it."""
    voice = "{name: Rachel, options: {stability: 1}, per_provider: {espeak: en-gb}}"
    text = f"    instructions: x\n    tts: [elevenlabs, espeak]\n    voice: {voice}"
    agent = Casting(FAKES, None).cast(_personas(_plan(text))).agent("a")
    assert (agent.voice.name, agent.voice.options) == ("en-gb", {})


SPLIT = """\
    instructions: x
    llm:
      policy: split
      of:
        - {provider: fake, weight: 50, reply: From A.}
        - {provider: fake, weight: 50, reply: From B.}
"""


def test_a_split_is_drawn_by_the_call_and_its_arm_stands_in_the_journal() -> None:
    """The same call draws the same arm wherever it is served; arms of one vendor have different names."""
    personas = _personas(_plan(SPLIT))

    async def arm(call_id: str) -> tuple[str, str]:
        events: list[Event] = []
        agent = Casting(FAKES, None).cast(personas, OnCall(emit=events.append, call_id=call_id)).agent("a")
        assert agent.llm is not None
        said = text_of([delta async for delta in agent.llm.chat([])])
        (chosen,) = [event for event in events if isinstance(event, ProviderChosen)]
        assert (chosen.kind, chosen.policy) == ("llm", "split")
        return said, chosen.provider

    async def calls() -> list[tuple[str, str]]:
        return [await arm(f"call-{number}") for number in range(12)]

    drawn = run(calls)
    assert set(drawn) == {("From A.", "fake reply=From A."), ("From B.", "fake reply=From B.")}
    assert run(calls) == drawn


def test_a_policy_comes_with_what_it_needs() -> None:
    text = "    instructions: x\n    llm: {policy: cheapest, max_ms: 800, of: [{provider: fake, price: 2}, "
    text += "{provider: scripted, price: 0}]}"
    (first, second) = _personas(_plan(text))["a"].llm
    assert (first.routing.price, second.routing.price, first.routing.max_ms) == (2.0, 0.0, 800.0)
    agent = Casting(FAKES, None).cast(_personas(_plan(text))).agent("a")
    assert agent.llm is not None
    assert agent.llm.name == "fake|scripted"


class Connected:
    """A voice with a connection to open and to close, which may fail."""

    name, rate_hz = "connected", 8000
    log: ClassVar[list[str]] = []

    def __init__(self, broken: bool = False) -> None:
        self._broken = broken

    async def warm(self) -> None:
        self.log.append("warm")
        if self._broken:
            raise KeyError("the adapter has a bug")

    async def aclose(self) -> None:
        self.log.append("closed")

    async def open(self, voice: Voice) -> FakeTtsStream:
        return await FakeTts().open(voice)


@pytest.mark.parametrize("broken", ["no", "yes"])
def test_providers_are_warmed_with_the_worker_and_with_a_call_and_closed_at_the_end(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first word of a call need not wait for a handshake. One that fails costs nothing but a line in the log."""
    rows = {**registry.BUILT_IN, ("tts", "connected"): registry.Entry(f"{__name__}:Connected", {})}
    monkeypatch.setattr(registry, "BUILT_IN", rows)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or ModuleType(__name__))
    monkeypatch.setattr(sys.modules[__name__], "Connected", Connected, raising=False)
    Connected.log.clear()
    personas = _personas(
        _plan(f"    instructions: x\n    tts: [{{provider: connected, broken: {broken}}}, fake]")
    )

    async def life() -> list[str]:
        casting = Casting(FAKES, None)
        casting.rehearse(personas)
        await casting.open()
        started = list(Connected.log)
        casting.cast(personas).ready("a")
        await asyncio.sleep(0.1)
        await casting.aclose()
        return started

    assert run(life) == ["warm"]
    assert Connected.log == ["warm", "warm", "closed"]


def test_a_voice_is_made_once_for_each_rate_of_calls() -> None:
    """So that nothing is resampled; whoever is handed over to speaks at the call's rate as well."""
    text = (
        "version: 1\nagents:\n  a: {instructions: x, handoff: [b]}\n  b: {instructions: x}\n"
        "numbers:\n  - {number: any, agent: a}\n"
    )
    personas, casting = _personas(text), Casting(FAKES, None)
    narrow, wide = (
        casting.cast(personas, OnCall(rate_hz=8000)).agent("a"),
        casting.cast(personas, OnCall(rate_hz=16000)).agent("a"),
    )
    assert narrow.tts is not None
    assert wide.tts is not None
    assert (narrow.tts.rate_hz, wide.tts.rate_hz) == (8000, 16000)
    assert casting.cast(personas, OnCall(rate_hz=16000)).agent("b").tts is wide.tts
    assert casting.cast(personas).agent("a").tts is narrow.tts


def test_voices_that_stand_in_for_each_other_have_the_rate_of_the_call_and_a_member_for_each_rate() -> None:
    """A voice with a rate of its own is one for all calls; what the plan says of a rate wins."""
    text = "    instructions: x\n    tts: [fake, espeak, {provider: fake, rate_hz: 24000}]"
    personas, casting = _personas(_plan(text)), Casting(FAKES, None)
    rates = []
    for rate_hz in (8000, 16000, 8000):
        tts = casting.cast(personas, OnCall(rate_hz=rate_hz)).agent("a").tts
        assert tts is not None
        assert tts.name == "fake|espeak|fake"
        rates.append(tts.rate_hz)
    assert rates == [8000, 16000, 8000]
    assert casting.providing.resting == 0


def test_whoever_takes_over_a_wideband_call_speaks_at_its_rate() -> None:
    hand_over = "{text: One moment., tools: [{name: hand_over, arguments: {agent: b}}]}"
    text = (
        "version: 1\nagents:\n"
        f"  a: {{instructions: x, greeting: Hello., handoff: [b], llm: {{provider: fake, script: [{hand_over}]}}}}\n"
        "  b: {instructions: x, greeting: Billing here.}\n"
        "numbers:\n  - {number: any, agent: a}\n"
    )
    agent = Casting(FAKES, None).cast(_personas(text), OnCall(rate_hz=16000)).agent("a")
    agent.stt = None
    call = VirtualCall(agent, [Says("billing please", 2.0)], rate_hz=16000).play()
    assert [event.text for event in call.of(AgentSpoke)][-1] == "Billing here."
    tts = call.session.agent.tts
    assert (call.session.agent.name, tts and tts.rate_hz) == ("b", 16000)


REALTIME = _plan(
    "    instructions: You are a desk.\n    handoff: [b]\n    realtime: {provider: openai, voice: cedar}\n"
    "  b:\n    instructions: You are another.\n    realtime: {provider: openai, voice: cedar}"
)


def test_agents_of_a_call_that_one_model_plays_share_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    casting = Casting(FAKES, None)
    personas = _personas(REALTIME)
    one, other = (casting.cast(personas, OnCall(call_id="1")).agent(name) for name in ("a", "b"))
    assert one.stt is other.stt and isinstance(one.stt, RealtimeStt)
    assert isinstance(one.llm, RealtimeLlm) and isinstance(one.tts, RealtimeTts)
    assert casting.cast(personas, OnCall(call_id="2")).agent("a").stt is not one.stt


def test_without_the_models_key_recogniser_model_and_voice_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    casting = Casting(FAKES, None)
    agent = casting.cast(_personas(REALTIME)).agent("a")
    assert agent.tts is not None and agent.tts.name == "fake"
    assert casting.providing.notes == "OPENAI_API_KEY not set: realtime stt, llm and tts for openai"

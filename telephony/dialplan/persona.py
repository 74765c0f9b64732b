"""Who talks to callers, as frozen models: agents with their voice, providers, tools, and lines. Pure data.

Cross references (does this agent exist?) are `check.py`'s business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from telephony.dialplan.choice import Routing, listed
from telephony.dialplan.saying import Said, Saying, Words
from telephony.dialplan.values import (
    BeforeAnswer,
    Cassette,
    Country,
    Duration,
    Key,
    Language,
    Names,
    Phrases,
    PlanModel,
    Pronounce,
    Recording,
    Text,
    Texts,
    Tuning,
    as_collect,
    as_command,
    as_destination,
    as_provider,
    as_servers,
    as_tuple,
    as_voice,
    checked_collected,
    checked_header_lines,
    checked_prefix,
    checked_python,
    checked_target,
    checked_tool,
    checked_url,
)

# ---------------------------------------------------------------- what the embedded language model answers


class Collect(PlanModel):
    """What the caller is asked for. what: one of COLLECTED, with a count, a country or the choices. confirm: read it
    back and ask whether it is right; without, what was said and not what was keyed in."""

    what: Annotated[str, AfterValidator(checked_collected)]
    question: str = ""
    confirm: bool | None = None


class Intent(PlanModel):
    """One thing callers want. phrases: how they say it, with slots. after: only right after that intent.

    say: one text, or several taken in turn. then_say: once the tool has answered; `{result}` is its answer.
    collect: asks the caller for something first; the tool's arguments, or then_say, have it as `{result}`. else_say: if
    the caller would not or could not say it.
    expects: what its last words ask for, such as `digits 4` or `yes_no`.
    """

    name: Text
    phrases: Phrases = Field(min_length=1)
    after: str = ""
    say: Texts = ()
    tool: str = ""
    arguments: dict[str, str] = {}
    then_say: Texts = ()
    collect: Annotated[Collect | None, BeforeValidator(as_collect)] = None
    else_say: Texts = ()
    handoff: str = ""
    transfer: str = ""
    hang_up: bool = False
    expects: str = ""


class GiveUp(PlanModel):
    """What happens when the caller was not understood too often."""

    say: Texts = ()
    handoff: str = ""
    transfer: str = ""
    hang_up: bool = False


class Script(PlanModel):
    """The lines of the `scripted` language model. not_understood: said in turn, then give_up."""

    intents: tuple[Intent, ...] = ()
    not_understood: Texts = ()
    max_not_understood: int = Field(default=3, ge=1, le=20)
    give_up: GiveUp | None = None


# ---------------------------------------------------------------- agents


class ProviderChoice(PlanModel):
    """A speech or language provider by name, with its options. Options are text: the provider reads them."""

    name: Text
    options: dict[str, Any] = {}
    routing: Routing | None = None


class VoiceChoice(PlanModel):
    """How an agent sounds. per_provider: another voice name where that provider speaks."""

    name: str = ""
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    per_provider: dict[str, str] = {}
    options: dict[str, Any] = {}

    def named(self, provider: str) -> str:
        """The voice's name at that provider."""
        return self.per_provider.get(provider, self.name)


Provider: TypeAlias = Annotated[ProviderChoice, BeforeValidator(as_provider)]
Providers: TypeAlias = Annotated[tuple[Provider, ...], BeforeValidator(listed), Field(min_length=1)]
"""One provider, or several in order of preference: the others stand in for the first."""
VoiceName: TypeAlias = Annotated[VoiceChoice, BeforeValidator(as_voice)]


class McpChoice(PlanModel):
    """One MCP server, whose tools agents may use: a `command` to start it, or the `url` of its HTTP endpoint.

    env_from, headers_env: secrets out of the environment; the first are names, the second header → name. allow:
    tools to offer, all if empty. prefix: before their names. connect_timeout, call_timeout: in s.
    """

    command: Annotated[tuple[Text, ...], BeforeValidator(as_command)] = ()
    url: Annotated[str, AfterValidator(checked_url)] = ""
    env: dict[str, str] = {}
    env_from: Names = ()
    headers: dict[str, str] = {}
    headers_env: dict[str, str] = {}
    allow: Names = ()
    prefix: Annotated[str, AfterValidator(checked_prefix)] = ""
    connect_timeout: Duration = 5.0
    call_timeout: Duration = 10.0


def as_on_failure(value: Any) -> Any:
    """A SIP address alone is for callers whom recogniser, model or voice have failed."""
    return {"provider_outage": value} if isinstance(value, str) else value


class OnFailure(PlanModel):
    """Who takes calls that cannot go where they should: agents, targets, or SIP addresses.

    overload: no worker is free; only a `redirect` or a SIP address, which then gets a 302. provider_outage: recogniser,
    model or voice have failed for good; a SIP address or a `ring` target. agent_crash: the agent cannot start, its
    code broke, or it took its processes down. closed: outside the hours of `open`."""

    overload: str = ""
    provider_outage: str = ""
    agent_crash: str = ""
    closed: str = ""


class Defaults(PlanModel):
    """What every agent of this plan has unless it says otherwise; what is missing, the settings decide.

    hold_music: `default`, `none`, `ringback` or a WAV file beside the plan. tones: whose ringback and busy.
    before_answer: `ringing` lets the caller's side make the sound (180); else we do (183, early media).
    recording: `announce` records once the announcement was heard, `ask` once the caller agreed to `consent`.
    if_refused: what becomes of callers who do not. consent_required: the law asks for it, so that `on` is an error."""

    language: Language = "en-US"
    voice: VoiceName | None = None
    stt: Providers | None = None
    llm: Providers | None = None
    tts: Providers | None = None
    realtime: Provider | None = None
    turn_handling: dict[str, Tuning] = {}
    silence: dict[str, Tuning] = {}
    fillers: Texts | None = None
    thinking_sound: Text | dict[str, Tuning] | None = None
    pronounce: Pronounce = {}
    max_call: Duration | None = None
    hold_music: Text = "default"
    tones: Country = "us"
    before_answer: BeforeAnswer = "ringing"
    recording: Recording = "on"
    cassette: Cassette = "off"
    announcement: Words = Saying(text="This call is recorded.")
    consent: Said = Saying()
    if_refused: Literal["continue", "hang_up"] = "continue"
    consent_required: bool = False
    on_failure: Annotated[OnFailure | None, BeforeValidator(as_on_failure)] = None


class Destination(PlanModel):
    """Somebody a caller may be transferred to.

    attended: the agent speaks to them first, and joins the two calls when they agree; ring: how long they may ring, s.
    release: then the far sides connect the calls without us (REFER with Replaces), if they will. fallback: what is
    done when that does not work: a blind transfer refused is bridged, an attended one nobody answered is blind."""

    target: Annotated[str, AfterValidator(checked_target)]
    attended: bool = False
    ring: Duration = 25.0
    release: bool = False
    fallback: Literal["none", "bridge", "blind"] = "none"


class Persona(PlanModel):
    """One agent. python: a class `package.module:Class` is the agent; then the file only adds to it.

    greeting: what it says first. tools: `package.module:function`, `hang_up`, `transfer`. handoff: agents it
    may hand over to. transfer_to: name → whom it may transfer to. transfer_headers: lines of the REFER
    there. realtime: one model that hears, thinks and speaks, instead of stt and llm. phrases: what else callers
    say, for the recogniser. pronounce: words its voice gets wrong → how they sound. silence: when the caller
    says nothing. fillers: said when an answer takes long. keys: a menu, key → what the caller means by it.
    expects: what the greeting asks for, such as `digits 4`.
    """

    instructions: str = ""
    greeting: str = ""
    language: Language = "en-US"
    voice: VoiceName | None = None
    stt: Providers | None = None
    llm: Providers | None = None
    tts: Providers | None = None
    realtime: Provider | None = None
    tools: Annotated[tuple[Annotated[str, AfterValidator(checked_tool)], ...], BeforeValidator(as_tuple)] = ()
    mcp: Annotated[dict[str, McpChoice | None], BeforeValidator(as_servers)] = {}
    handoff: Names = ()
    python: Annotated[str, AfterValidator(checked_python)] | None = None
    transfer_to: dict[str, Annotated[Destination, BeforeValidator(as_destination)]] = {}
    transfer_headers: Annotated[dict[str, str], AfterValidator(checked_header_lines)] = {}
    turn_handling: dict[str, Tuning] = {}
    silence: dict[str, Tuning] = {}
    fillers: Texts | None = None
    thinking_sound: Text | dict[str, Tuning] | None = None
    keys: dict[Key, Text] = {}
    expects: str = ""
    history: Literal["shared", "summary", "private"] = "shared"
    pronounce: Pronounce = {}
    script: Script | None = None
    phrases: Phrases = ()

    def with_defaults(self, defaults: Defaults) -> Self:
        """This agent with the plan's defaults where it says nothing itself. One model that hears, thinks and speaks
        takes the place of recogniser, model and voice, and they that of it."""
        given = self.model_fields_set
        settled = {"voice", "stt", "llm", "tts"} if "realtime" in given else set[str]()
        settled |= {"realtime"} if given & {"stt", "llm"} else set()
        missing: dict[str, Any] = {
            name: getattr(defaults, name)
            for name in ("language", "voice", "stt", "llm", "tts", "realtime", "fillers", "thinking_sound")
            if name in defaults.model_fields_set and name not in given | settled
        }
        missing["turn_handling"] = {**defaults.turn_handling, **self.turn_handling}
        missing["silence"] = {**defaults.silence, **self.silence}
        missing["pronounce"] = {**defaults.pronounce, **self.pronounce}
        return self.model_copy(update=missing)

    def with_thinking_sound(self, sound: str) -> Self:
        """This agent with another sound to be heard while it thinks."""
        given = self.thinking_sound
        return self.model_copy(
            update={"thinking_sound": {**given, "sound": sound} if isinstance(given, dict) else sound}
        )

    def with_servers(self, servers: Mapping[str, McpChoice]) -> Self:
        """This agent with what the plan says of the MCP servers it names."""
        return self.model_copy(update={"mcp": {name: servers.get(name) for name in self.mcp}})


def thinking_file(owner: Defaults | Persona) -> str:
    """The name of the sound that is heard while an agent thinks, "" for none or a default."""
    given = owner.thinking_sound
    return str(given.get("sound", "")) if isinstance(given, dict) else given or ""

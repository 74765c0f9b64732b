"""What a dial plan may say, as frozen models, and the Route that comes out of it. Pure data.

Every value arrives as text (`document.py`). Cross references (does this agent exist?) are `check.py`'s
business; which number wins is `match.py`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from telephony.dialplan.choice import Routing, listed
from telephony.dialplan.document import nearest
from telephony.dialplan.number import parse_pattern
from telephony.errors import SipSyntaxError
from telephony.sip.added import check_added

BUILT_IN_TOOLS = (
    "hang_up",
    "transfer",
    "hold",
    "resume",
    "send_digits",
    "pause_recording",
    "resume_recording",
    "take_message",
)
SLOTS = ("digits", "yes_no", "date", "number", "time")  # what a phrase leaves open; `{digits:4}` wants four

COLLECTED = (
    "name", "phone_number", "email", "address", "date", "date_of_birth", "time", "date_and_time", "digits", "yes_no",
    "choice",
)  # fmt: skip

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_PYTHON = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TARGET = re.compile(
    r"(sips?:[^\s@]+(@[^\s@]+)?|tel:\+?[0-9*#().-]+|\+?[0-9][0-9 ().-]*)", re.IGNORECASE | re.ASCII
)
_URL = re.compile(r"https?://[^\s/]+\S*", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,20}", re.ASCII)
_SLOT = re.compile(r"\{([^{}]*)\}")
_SLOT_FORM = re.compile(r"(\w+)(:(?:[1-9]|[12][0-9]|3[0-2]))?", re.ASCII)


class PlanModel(BaseModel):
    """Base of everything in the file: no key is guessed at, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- texts with a form


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty. Write a text or remove the line.")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError(f"{text!r} is not a language. Write it like en-US (BCP 47).")
    return text


def _tool(text: str) -> str:
    if text in BUILT_IN_TOOLS or _PYTHON.fullmatch(text):
        return text
    if ":" in text or "." in text:
        raise ValueError(f"{text!r} is not a tool. Write it as package.module:function.")
    raise ValueError(f"there is no built-in tool {text!r}.{nearest(text, BUILT_IN_TOOLS)}")


def _python(text: str) -> str:
    if not _PYTHON.fullmatch(text):
        raise ValueError(f"{text!r} is not a Python name. Write it as package.module:Class.")
    return text


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    form = _DURATION.fullmatch(value.strip())
    if form is None:
        raise ValueError(f"{value!r} is not a duration. Write a number with its unit: 30s, 20m or 2h.")
    return float(form[1]) * _SECONDS[form[2]]


def _number(text: str) -> str:
    parse_pattern(text)
    return text


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError(
            f"{text!r} is no transfer target. Write a SIP address (sip:desk@pbx.example.com) or a number."
        )
    return text


def _destination(value: Any) -> Any:
    """`sip:desk@pbx.example.com`, or `{target: ..., attended: yes}`."""
    return {"target": value} if isinstance(value, str) else value


def _uri(text: str) -> str:
    if not _TARGET.fullmatch(text) or ":" not in text:
        raise ValueError(
            f"{text!r} is nowhere to send a caller. Write a SIP address: sip:desk@pbx.example.com."
        )
    return text


def _header_lines(lines: dict[str, str]) -> dict[str, str]:
    try:
        check_added(tuple(lines.items()))
    except SipSyntaxError as error:
        raise ValueError(str(error)) from None
    return lines


def _phrase(text: str) -> str:
    for inner in _SLOT.findall(text):
        form = _SLOT_FORM.fullmatch(inner)
        if form is None or form[1] not in SLOTS or (form[2] and form[1] != "digits"):
            name = form[1] if form else inner
            raise ValueError(f"phrase {text!r}: there is no slot {{{inner}}}.{nearest(name, SLOTS)}")
    if "{" in _SLOT.sub("", text) or "}" in _SLOT.sub("", text):
        raise ValueError(f"phrase {text!r}: a brace is not closed. A slot is written {{digits:4}}.")
    return _filled(text)


def _collected(text: str) -> str:
    kind, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if kind not in COLLECTED:
        raise ValueError(f"there is nothing to collect named {kind!r}.{nearest(kind, COLLECTED)}")
    if kind == "digits":
        found = re.fullmatch(r"(\d{1,2})(?:\s*-\s*(\d{1,2}))?", rest)
        if rest and (found is None or not 1 <= int(found[1]) <= int(found[2] or found[1]) <= 32):
            raise ValueError(f"{rest!r} is no count. Write digits 4 or digits 4-8, from 1 to 32.")
    elif kind in ("phone_number", "address"):
        if rest and not re.fullmatch("[A-Za-z]{2}", rest):
            raise ValueError(f"{rest!r} is no country. Write its two letters: {kind} de.")
    elif kind == "choice":
        if len([part for part in rest.split(",") if part.strip()]) < 2:
            raise ValueError("there is nothing to choose. Write choice sales, support.")
    elif rest:
        raise ValueError(f"nothing may follow {kind}. Remove {rest!r}.")
    return text


def _what(value: Any) -> Any:
    return {"what": value} if isinstance(value, str) else value


def _pronounced(words: dict[str, str]) -> dict[str, str]:
    for written, said in words.items():
        if not any(map(str.isalnum, written)) or not said.strip():
            raise ValueError(
                f"{written!r}: {said!r} says nothing. Write a word and how it sounds: Nguyen: win."
            )
        if written != written.strip():
            raise ValueError(f"{written!r} has space at its end, which is never met. Remove it.")
    return words


def _provider(value: Any) -> Any:
    """`groq`, or `{provider: groq, model: ...}`: the rest are the provider's own options."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "provider" in value:
        return {"name": value["provider"], "options": {k: v for k, v in value.items() if k != "provider"}}
    if isinstance(value, dict) and not ("name" in value and set(value) <= {"name", "options", "routing"}):
        raise ValueError("a provider needs its name. Add `provider:`, for instance `provider: groq`.")
    return value


def _servers(value: Any) -> Any:
    """`crm`, `[crm, calendar]`, or already with what the plan says of them."""
    names = [value] if isinstance(value, str) else value
    return (
        dict.fromkeys(names) if isinstance(names, list) and all(isinstance(n, str) for n in names) else value
    )


def _url(text: str) -> str:
    if text and not _URL.fullmatch(text):
        raise ValueError(
            f"{text!r} is not the address of an MCP server. Write it like https://crm.example.com/mcp."
        )
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{text!r} cannot begin a tool's name. Use up to 20 letters, digits, _ and -.")
    return text


def _command(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


def _voice(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Text: TypeAlias = Annotated[str, AfterValidator(_filled)]
Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_one_or_more)]
Phrases: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_phrase)], ...], BeforeValidator(_one_or_more)
]
Names: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_one_or_more)]
Uris: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_uri)], ...], BeforeValidator(_one_or_more)]
Language: TypeAlias = Annotated[str, AfterValidator(_language)]
Duration: TypeAlias = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
Recording: TypeAlias = Literal["on", "off", "announce"]
BeforeAnswer: TypeAlias = Literal["ringing", "ringback", "silence"]
Cassette: TypeAlias = Literal["off", "on", "masked"]
Country: TypeAlias = Literal["us", "eu", "de", "uk"]
Pronounce: TypeAlias = Annotated[dict[str, str], AfterValidator(_pronounced)]
Key: TypeAlias = Annotated[str, Field(pattern=r"^[0-9*#A-D]$")]
Tuning: TypeAlias = Annotated[int | float | str, Field(union_mode="left_to_right")]


# ---------------------------------------------------------------- what the embedded language model answers


class Collect(PlanModel):
    """What the caller is asked for. what: one of COLLECTED, with a count, a country or the choices. confirm: read it
    back and ask whether it is right; without, what was said and not what was keyed in."""

    what: Annotated[str, AfterValidator(_collected)]
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
    collect: Annotated[Collect | None, BeforeValidator(_what)] = None
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


Provider: TypeAlias = Annotated[ProviderChoice, BeforeValidator(_provider)]
Providers: TypeAlias = Annotated[tuple[Provider, ...], BeforeValidator(listed), Field(min_length=1)]
"""One provider, or several in order of preference: the others stand in for the first."""
VoiceName: TypeAlias = Annotated[VoiceChoice, BeforeValidator(_voice)]


class McpChoice(PlanModel):
    """One MCP server, whose tools agents may use: a `command` to start it, or the `url` of its HTTP endpoint.

    env_from, headers_env: secrets out of the environment; the first are names, the second header → name. allow:
    tools to offer, all if empty. prefix: before their names. connect_timeout, call_timeout: in s.
    """

    command: Annotated[tuple[Text, ...], BeforeValidator(_command)] = ()
    url: Annotated[str, AfterValidator(_url)] = ""
    env: dict[str, str] = {}
    env_from: Names = ()
    headers: dict[str, str] = {}
    headers_env: dict[str, str] = {}
    allow: Names = ()
    prefix: Annotated[str, AfterValidator(_prefix)] = ""
    connect_timeout: Duration = 5.0
    call_timeout: Duration = 10.0


class Defaults(PlanModel):
    """What every agent of this plan has unless it says otherwise; what is missing, the settings decide.

    hold_music: `default`, `none`, `ringback` or a WAV file beside the plan. tones: whose ringback and busy.
    before_answer: `ringing` lets the caller's side make the sound (180); else we do (183, early media).
    recording: `announce` records once the announcement was heard. cassette: keep providers' answers for replays."""

    language: Language = "en-US"
    voice: VoiceName | None = None
    stt: Providers | None = None
    llm: Providers | None = None
    tts: Providers | None = None
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
    announcement: Text = "This call is recorded."
    on_failure: Annotated[str, AfterValidator(_target)] | None = None


class Destination(PlanModel):
    """Somebody a caller may be transferred to.

    attended: the agent speaks to them first, and joins the two calls when they agree; ring: how long they may ring, s.
    release: then the far sides connect the calls without us (REFER with Replaces), if they will. fallback: what is
    done when that does not work: a blind transfer refused is bridged, an attended one nobody answered is blind."""

    target: Annotated[str, AfterValidator(_target)]
    attended: bool = False
    ring: Duration = 25.0
    release: bool = False
    fallback: Literal["none", "bridge", "blind"] = "none"


class Persona(PlanModel):
    """One agent. python: a class `package.module:Class` is the agent; then the file only adds to it.

    greeting: what it says first. tools: `package.module:function`, `hang_up`, `transfer`. handoff: agents it
    may hand over to. transfer_to: name → whom it may transfer to. transfer_headers: lines of the REFER
    there. phrases: what else callers say, for the recogniser. pronounce: words its voice gets wrong → how they
    sound. silence: when the caller says nothing. fillers: said when an answer takes long. keys: a menu, key → what
    the caller means by it. expects: what the greeting asks for, such as `digits 4`.
    """

    instructions: str = ""
    greeting: str = ""
    language: Language = "en-US"
    voice: VoiceName | None = None
    stt: Providers | None = None
    llm: Providers | None = None
    tts: Providers | None = None
    tools: Annotated[tuple[Annotated[str, AfterValidator(_tool)], ...], BeforeValidator(_one_or_more)] = ()
    mcp: Annotated[dict[str, McpChoice | None], BeforeValidator(_servers)] = {}
    handoff: Names = ()
    python: Annotated[str, AfterValidator(_python)] | None = None
    transfer_to: dict[str, Annotated[Destination, BeforeValidator(_destination)]] = {}
    transfer_headers: Annotated[dict[str, str], AfterValidator(_header_lines)] = {}
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

    def with_defaults(self, defaults: Defaults) -> Persona:
        """This agent with the plan's defaults where it says nothing itself."""
        missing: dict[str, Any] = {
            name: getattr(defaults, name)
            for name in ("language", "voice", "stt", "llm", "tts", "fillers", "thinking_sound")
            if name in defaults.model_fields_set and name not in self.model_fields_set
        }
        missing["turn_handling"] = {**defaults.turn_handling, **self.turn_handling}
        missing["silence"] = {**defaults.silence, **self.silence}
        missing["pronounce"] = {**defaults.pronounce, **self.pronounce}
        return self.model_copy(update=missing)

    def with_servers(self, servers: Mapping[str, McpChoice]) -> Persona:
        """This agent with what the plan says of the MCP servers it names."""
        return self.model_copy(update={"mcp": {name: servers.get(name) for name in self.mcp}})


# ---------------------------------------------------------------- numbers


class NumberRoute(PlanModel):
    """One number rule: which agent takes the call, with which SIP status it is refused, or where its callers are
    sent, best first (302).

    on_failure: where callers are sent when recogniser, model or voice have failed for good. hold_music, tones,
    before_answer, recording, cassette, announcement, on_failure: None for what the plan's defaults say."""

    number: Annotated[str, AfterValidator(_number)]
    name: str = ""
    agent: str = ""
    reject: int | None = Field(default=None, ge=400, le=699)
    redirect: Uris = ()
    max_call: Duration | None = None
    hold_music: Text | None = None
    tones: Country | None = None
    before_answer: BeforeAnswer | None = None
    recording: Recording | None = None
    cassette: Cassette | None = None
    announcement: Text | None = None
    on_failure: Annotated[str, AfterValidator(_target)] | None = None


class DialPlan(PlanModel):
    """A whole file. version: of this file format, always 1."""

    version: Literal["1"]
    name: str = ""
    defaults: Defaults = Defaults()
    mcp: dict[str, McpChoice] = {}
    agents: dict[str, Persona] = Field(min_length=1)
    numbers: tuple[NumberRoute, ...] = Field(min_length=1)


class Route(PlanModel):
    """Where one call goes: everything a worker needs, nothing that a later edit of the plan could change.

    number: the rule as written, line: where it stands. agents: `agent` and all it can hand over to.
    plan, plan_version: the plan's name and content hash. max_call_s: None if calls may last for ever.
    hold_music: a built-in name or a file's path as this process sees it.
    """

    called: str
    caller: str = ""
    number: str
    line: int
    agent: str
    agents: dict[str, Persona]
    plan: str
    plan_version: str
    max_call_s: float | None = None
    hold_music: str = "default"
    tones: Country = "us"
    before_answer: BeforeAnswer = "ringing"
    recording: Recording = "on"
    cassette: Cassette = "off"
    announcement: str = ""
    on_failure: str = ""

    def dump(self) -> dict[str, Any]:
        """Plain values, for the link to a worker and the call's bundle."""
        return self.model_dump(mode="json")

    @classmethod
    def load(cls, row: dict[str, Any]) -> Route:
        """The route that `dump` wrote."""
        return cls.model_validate(row)

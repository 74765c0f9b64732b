"""How this machine runs Offhook: `config/offhook.yaml`, overridden by the environment, keys from `.env`.

`OFFHOOK_SIP__PORT=5070` overrides `sip: {port: ...}`. What callers hear belongs into the dial plan, not here.
Read once at start by the switch; nothing watches it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from offhook.access_settings import AccessSettings, Part, TrunkSettings, as_list, codec_name, take_passwords
from telephony.dialplan.choice import Routing, listed
from telephony.dialplan.complaints import explain_errors, without_echoes
from telephony.dialplan.document import Document, FileProblems, Loc, Plain, Problem, read_document, read_file
from telephony.dscp import EXPEDITED, SIGNALLING
from telephony.errors import SipSyntaxError
from telephony.sdp.crypto import SrtpPolicy
from telephony.sip.uri import split_host_port
from telephony.trunk.access import Strangers
from telephony.trunk.tls import Certificate, Tls

PREFIX = "OFFHOOK_"
DEFAULT_PATH = Path("config/offhook.yaml")
KEY_SUFFIX = "_API_KEY"
ACCESS_VARIABLE = "CONSOLE_ACCESS"  # how the console is told who may use its API
SHORTEST_TOKEN = 20  # characters: a token is a password that nobody types
Role: TypeAlias = Literal["viewer", "editor", "admin"]


def _provider(value: Any) -> Any:
    """`groq`, or `{provider: groq, model: ...}` as in the dial plan."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "provider" in value:
        return {"name": value["provider"], "options": {k: v for k, v in value.items() if k != "provider"}}
    if isinstance(value, dict) and "name" not in value:
        raise ValueError("a provider needs its name. Add `provider:`, for instance `provider: groq`.")
    return value


class ProviderSettings(Part):
    """A provider by name, with its own options (text when they come from the file)."""

    name: str = Field(min_length=1)
    options: dict[str, Any] = {}
    routing: Routing | None = None


Provider: TypeAlias = Annotated[ProviderSettings, BeforeValidator(_provider)]
InOrder: TypeAlias = Annotated[tuple[Provider, ...], BeforeValidator(listed), Field(min_length=1)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
Dscp: TypeAlias = Annotated[int, Field(ge=0, le=63)]


class CertificateSettings(Part):
    """One more certificate, for callers who ask for one of its names."""

    names: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_list)]
    certificate: Path
    key: Path | None = None


class TlsSettings(Part):
    """SIP over TLS; telephony/trunk/tls.py says what each line means. Paths of PEM files."""

    port: Port = 5061
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    clients: Literal["optional", "required"] = "required"
    verify: bool = True
    trust: Path | None = None
    certificates: tuple[CertificateSettings, ...] = ()
    alpn: bool = False

    @model_validator(mode="after")
    def _default_first(self) -> Self:
        if self.certificates and self.certificate is None:
            raise ValueError(
                "`certificates` needs a default for callers who ask for no name. Add `certificate`."
            )
        return self

    def make(self) -> Tls:
        """What telephony takes."""
        more = tuple(Certificate(one.names, one.certificate, one.key) for one in self.certificates)
        return Tls(**{**dict(self), "certificates": more})


def _codec_names(value: Any) -> Any:
    """`[g722, pcmu]`, or `G722, PCMU` as an environment variable says it."""
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        return value
    return tuple(dict.fromkeys(codec_name(str(name)) for name in names))


def _words(value: Any) -> Any:
    """`[busy, fax]`, or `busy, fax` as an environment variable says it."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


HangUpOn: TypeAlias = Annotated[tuple[Literal["busy", "fax"], ...], BeforeValidator(_words)]
Codecs: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_codec_names)]


def _name_server(text: str) -> str:
    try:
        host, _ = split_host_port(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
        ipaddress.ip_address(host)
    except (SipSyntaxError, ValueError):
        raise ValueError(f"{text!r} is no name server. Write its address, like 192.0.2.53.") from None
    return text


NameServers: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_name_server)], ...], BeforeValidator(as_list)
]


def _families(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not hosts or len({":" in host for host in hosts}) < len(hosts):
        raise ValueError("give one IPv4 address, one IPv6 address, or one of each, like [0.0.0.0, '::'].")
    return hosts


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Addresses: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(_families)]


class SipSettings(Part):
    """Where calls come in: UDP and TCP on `port`, TLS on its own. host: an IPv4 address, an IPv6 address or one of
    each. port 0: any free one. public_host: what peers are told, when it is not `host`; one of each family too.

    codecs: what we speak, best first; a peer that offers several gets the first of its own list. dscp: marks our
    messages for routers; 24 is CS3. srtp: encryption of the sound (telephony/sdp/negotiate.py, LocalMedia), where a
    trunk does not say. dns: name servers for carriers' names, address or address:port; () for the system's."""

    host: Addresses = ("0.0.0.0",)
    port: Port = 5060
    public_host: Names = ()
    tcp: bool = True
    tls: TlsSettings | None = None
    codecs: Codecs = ("PCMU", "PCMA")
    dscp: Dscp = SIGNALLING
    srtp: SrtpPolicy = "optional"
    dns: NameServers = ()


class RtpSettings(Part):
    """UDP ports for media, both ends included; a call takes an even one for RTP and the next for RTCP. rest_s:
    how long they are lent to nobody after a call. dscp: marks sound for routers; 46 is EF."""

    first_port: int = Field(default=16384, ge=1024, le=65534)
    last_port: int = Field(default=32767, ge=1025, le=65535)
    rest_s: float = Field(default=30.0, ge=0.0, le=600.0)
    dscp: Dscp = EXPEDITED

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.last_port <= self.first_port:
            raise ValueError(
                f"last_port {self.last_port} must be above first_port {self.first_port}. "
                "Leave two ports for every call at once."
            )
        return self


class HttpSettings(Part):
    """Health and metrics. port 0: any free one."""

    host: str = "127.0.0.1"
    port: Port = 8080


class TokenSettings(Part):
    """Whoever may use the console's API. name: for the audit log. role: viewer reads, editor changes plans, admin may
    also read the audit log. One of token_env: the variable that holds the token, and sha256: of the token, hex."""

    name: str = Field(min_length=1)
    role: Role = "viewer"
    token_env: str = ""
    token: SecretStr = SecretStr("")  # from the variable, never from the file
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if bool(self.token_env) == bool(self.sha256):
            raise ValueError(f"token of {self.name!r}: give it one of token_env and sha256.")
        if self.token_env and len(self.token.get_secret_value()) < SHORTEST_TOKEN:
            fact = f"token of {self.name!r}: {self.token_env} has fewer than {SHORTEST_TOKEN} characters."
            raise ValueError(
                f"{fact} Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the token, hex: all that other processes are told."""
        return self.sha256 or sha256(self.token.get_secret_value().encode()).hexdigest()


class ConsoleSettings(Part):
    """The process with records and API. enabled: without it there are no traces either, and records are in the call
    folders alone. port 0: any free one. tokens: without any, nobody may see or change plans."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 8081
    tokens: tuple[TokenSettings, ...] = ()

    def holders(self) -> list[dict[str, str]]:
        """Who may do what, without secrets."""
        return [{"name": one.name, "role": one.role, "sha256": one.digest} for one in self.tokens]


class Providers(Part):
    """What speaks and listens where the dial plan does not say. Lists: the others stand in for the first, and for
    one whose key is not there. turn: a second opinion on the end of turns, none by default."""

    stt: InOrder = (ProviderSettings(name="groq"), ProviderSettings(name="pocketsphinx"))
    llm: InOrder = (ProviderSettings(name="groq"), ProviderSettings(name="scripted"))
    tts: InOrder = (ProviderSettings(name="elevenlabs"), ProviderSettings(name="espeak"))
    vad: Provider = ProviderSettings(name="silero")
    turn: Provider | None = None


class OverloadSettings(Part):
    """Beyond these, new calls get 503 and Retry-After; 0 is no limit. cpu: share of a core that one worker may use.
    late_ms: 99 of 100 packets of a worker are less late. free_memory_mb: left on this machine."""

    cpu: float = Field(default=0.9, ge=0.0, le=64.0)
    late_ms: float = Field(default=40.0, ge=0.0)
    free_memory_mb: int = Field(default=64, ge=0)


class TraceSettings(Part):
    """endpoint: base URL of an OTLP/HTTP receiver, http://127.0.0.1:4318; "" sends nothing. Needs the extra `traces`.
    words: also what was said, masked where it was secret."""

    endpoint: str = Field(default="", pattern=r"^(https?://.*)?$")
    words: bool = False


class LogSettings(Part):
    """level: from which severity on. format: `console` for people, `json` for collectors. redact: fields that may
    hold what people said or dialled (`pii_...`) show `***`."""

    redact: bool = False
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(Part):
    """Everything an operator decides.

    workers: 0 is one per core. worker_memory_mb: one that is bigger hands its calls to the spare and starts anew, 0
    for any size. spare_workers: warm ones without calls, that take over those of one that is lost. spare_switch: have
    another switch stand by; without, one that dies is missed for a second instead of 30 ms. calls_per_worker: 0 is
    any number; 1 gives every call a process of its own. wedged_after_s: a worker whose clock stands still for so
    long is killed. drain_s: on SIGTERM, how long calls may go on before the agents say goodbye. max_calls: at once on
    this machine, 0 for as many as the workers can carry.
    media_timeout_s: a call without a single RTP packet for so long is ended. hang_up_on: so is one whose line gives
    busy or reorder tone for five seconds, or a fax; [] for neither. database: a SQLAlchemy URL. plan_versions: where
    every version of the dial plan is kept. plan_watch_s: how often its files are looked at, 0 for never.
    keys: API keys by variable name ("GROQ_API_KEY"), from the environment and `.env`, never from the file.
    """

    sip: SipSettings = SipSettings()
    rtp: RtpSettings = RtpSettings()
    http: HttpSettings = HttpSettings()
    console: ConsoleSettings = ConsoleSettings()
    trunks: tuple[TrunkSettings, ...] = ()
    access: AccessSettings = AccessSettings()
    workers: int = Field(default=0, ge=0, le=256)
    worker_memory_mb: int = Field(default=0, ge=0)
    spare_workers: int = Field(default=1, ge=0, le=64)
    spare_switch: bool = True
    calls_per_worker: int = Field(default=0, ge=0)
    wedged_after_s: float = Field(default=1.0, ge=0.2, le=60.0)
    drain_s: float = Field(default=60.0, ge=0.0)
    overload: OverloadSettings = OverloadSettings()
    traces: TraceSettings = TraceSettings()
    max_calls: int = Field(default=0, ge=0)
    dialplan: Path = Path("dialplans/demo.yaml")
    plan_versions: Path = Path("var/plans")
    plan_watch_s: float = Field(default=1.0, ge=0.0, le=3600.0)
    calls_dir: Path = Path("var/calls")
    database: str = "sqlite:///var/offhook.db"
    media_timeout_s: float = Field(default=30.0, ge=1.0)
    hang_up_on: HangUpOn = ("busy",)
    providers: Providers = Providers()
    log: LogSettings = LogSettings()
    keys: dict[str, SecretStr] = {}

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [trunk.name for trunk in self.trunks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two trunks are named {min(twice)!r}. Rename one: records go by it.")
        return self

    @model_validator(mode="after")
    def _certificates_asked_for(self) -> Self:
        asks = self.sip.tls is not None and self.sip.tls.client_ca is not None
        if not asks and (names := [trunk.name for trunk in self.trunks if trunk.tls_name]):
            raise ValueError(
                f"trunk {names[0]!r}: `tls_name` needs the certificates of callers. Add `sip.tls.client_ca`."
            )
        return self

    @model_validator(mode="after")
    def _traces_have_a_sender(self) -> Self:
        if self.traces.endpoint and not self.console.enabled:
            raise ValueError("`traces` are sent by the console. Take `console.enabled: no` out.")
        return self

    @property
    def lines(self) -> dict[str, int] | None:
        """For the check of dial plans: trunk → calls at once, 0 for any number; None if there are no trunks."""
        return {trunk.name: trunk.max_calls for trunk in self.trunks} or None

    @property
    def strangers(self) -> Strangers:
        """What becomes of calls from nowhere we know."""
        return self.access.strangers or ("drop" if self.trunks else "lan")


def load_settings(path: str | Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    path: None reads config/offhook.yaml if it is there, else only defaults and environment; a path that is
    given must exist. environ: instead of the process's own environment and `.env`. Raises FileProblems (a
    PlanError) with everything that is wrong, file:line:column or variable name first.
    """
    if path is None and not DEFAULT_PATH.exists():
        document = read_document(b"", str(DEFAULT_PATH))
    else:
        document = read_file(path or DEFAULT_PATH)
    problems = list(document.problems)
    values: Plain = {} if document.value is None else document.value
    if not isinstance(values, dict):
        text = "settings are `key: value` lines, for instance `workers: 2`."
        raise FileProblems([*problems, document.problem((), text)])
    if values.pop("keys", None) is not None:
        text = "API keys do not belong here. Put them into .env."
        problems.append(document.problem(("keys",), text, key=True))
    environ = _environment() if environ is None else environ
    overlay = _Overlay(document, values, environ)
    problems += take_passwords(document, values.get("trunks"), environ)
    problems += _take_tokens(document, values.get("console"), environ)
    try:
        settings = Settings.model_validate({**values, "keys": overlay.keys})
    except ValidationError as error:
        errors = without_echoes(Settings, error.errors())
        found = explain_errors(document, Settings, errors)
        problems += [overlay.blame(e["loc"], p) for e, p in zip(errors, found, strict=True)]
        raise FileProblems(problems) from error
    if problems:
        raise FileProblems(problems)
    return settings


def _take_tokens(document: Document, console: Plain, environ: Mapping[str, str]) -> list[Problem]:
    """Put the tokens that the console names into it. Returns what is wrong with that."""
    problems = []
    tokens = console.get("tokens") if isinstance(console, dict) else None
    for at, one in enumerate(tokens if isinstance(tokens, list) else []):
        loc: Loc = ("console", "tokens", at)
        if not isinstance(one, dict):
            continue
        if one.pop("token", None) is not None:
            text = "a token does not belong here. Put it into .env, and its name here: `token_env:`."
            problems.append(document.problem((*loc, "token"), text, key=True))
            one.setdefault("sha256", "0" * 64)  # no second complaint
        name = one.get("token_env")
        if isinstance(name, str) and (token := environ.get(name)):
            one["token"] = token
        elif isinstance(name, str):
            text = f"no variable {name!r} in the environment or .env. Set it to the token."
            problems.append(document.problem((*loc, "token_env"), text))
            one.pop("token_env")
            one["sha256"] = "0" * 64
    return problems


class _Overlay:
    """The environment laid over the file's values, and which value came from which variable.

    Not pydantic-settings' own reading: that one guesses at JSON, and its errors do not name the variable.
    """

    def __init__(self, document: Document, values: dict[str, Plain], environ: Mapping[str, str]) -> None:
        self._document = document
        self.keys = {name: value for name, value in environ.items() if name.endswith(KEY_SUFFIX) and value}
        self._names: dict[Loc, str] = {}
        for name, value in environ.items():
            if name.upper().startswith(PREFIX) and value and not name.endswith(KEY_SUFFIX):
                self._lay(values, name, value)

    def _lay(self, values: dict[str, Plain], name: str, value: str) -> None:
        *parents, last = name[len(PREFIX) :].lower().split("__")
        for part in parents:
            inner = values.get(part)
            if not isinstance(inner, dict):
                inner = values[part] = {}
            values = inner
        values[last] = value
        self._names[(*parents, last)] = name

    def blame(self, loc: Loc, problem: Problem) -> Problem:
        """The problem at the variable that its value came from, if it came from one."""
        for count in range(len(loc), 0, -1):
            if name := self._names.get(loc[:count]):
                return Problem(f"environment variable {name}", 0, 0, problem.text)
        made = [name for place, name in self._names.items() if place[: len(loc)] == loc]
        if made and not self._document.has(loc):  # a whole part that only the environment has
            return Problem(f"environment variable {made[0]}", 0, 0, problem.text)
        return problem


def _environment() -> dict[str, str]:
    """`.env` of the working directory, then the process's environment on top of it."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**from_file, **os.environ}

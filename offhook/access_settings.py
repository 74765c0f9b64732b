"""Who may ring and where we log in, as `config/offhook.yaml` says it: the parts `trunks:` and `access:`.

Read by settings.py, made into telephony's own objects by switch/trunks.py. Passwords come from the
environment only: a file that people copy and commit is no place for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from telephony.dialplan.document import Document, Plain, Problem
from telephony.dialplan.number import parse_pattern
from telephony.errors import SipSyntaxError
from telephony.sdp.crypto import SrtpPolicy
from telephony.sdp.negotiate import CODECS
from telephony.sip.added import check_added
from telephony.sip.uri import split_host_port
from telephony.trunk.access import SCANNERS, Strangers


class Part(BaseModel):
    """A part of the settings: unknown keys are errors, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def as_list(value: Any) -> Any:
    """`[a, b]`, or `a` alone."""
    return (value,) if isinstance(value, str) else value


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        raise ValueError(f"{text!r} is no network ({error}). Write it like 203.0.113.0/24.") from None


def codec_name(text: str) -> str:
    """A codec as SDP calls it, however it was written. Raises ValueError for one that we do not speak."""
    if text.upper() not in CODECS:
        raise ValueError(f"no codec {text[:40]!r}. Known: {', '.join(CODECS)}.")
    return text.upper()


def _pattern(text: str) -> str:
    parse_pattern(text)
    return text


def _headers(lines: dict[str, str]) -> dict[str, str]:
    try:
        check_added(tuple(lines.items()))
    except SipSyntaxError as error:
        raise ValueError(str(error)) from None
    return lines


def _host(text: str) -> str:
    try:
        split_host_port(text)
    except SipSyntaxError as error:
        raise ValueError(str(error)) from None
    return text


Networks: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(as_list)
]
CodecNames: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(codec_name)], ...], BeforeValidator(as_list)
]
Patterns: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_pattern)], ...], BeforeValidator(as_list)
]
Hosts: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], BeforeValidator(as_list)]
HeaderLines: TypeAlias = Annotated[dict[str, str], AfterValidator(_headers)]
Code: TypeAlias = Annotated[int, Field(ge=400, le=699)]


class CallerId(Part):
    """believe: what the trunk says about callers (P-Asserted-Identity, Remote-Party-ID). show: our number on
    calls out. asserted: it goes into P-Asserted-Identity too."""

    believe: bool = True
    show: str = ""
    asserted: bool = False


class TrunkSettings(Part):
    """One carrier, PBX or office.

    host: its proxy, name or address, with port if it is not 5060; several are tried in order, for calls and
    REGISTER. They may ring us, unless they must prove a password. allow_from: more
    networks that may. user, auth_user: our name there, and another for the password if they differ.
    password_env: the variable that holds the password. challenge: callers must prove that name and password.
    register: log in, so that calls come to us. expiry_s: what we ask for. codecs: in our order, also where they
    offer; () for those of all calls, in their order. srtp: encryption of the sound, None for `sip.srtp`. tls_name:
    callers who prove this name by certificate may ring, from anywhere. max_calls: at once, 0 for any number.
    allowed: numbers that may be dialled over it, none if empty. refer: it may send our calls elsewhere (REFER), to
    `allowed` numbers only, or not at all. keepalive_s: ask it by OPTIONS so often whether it is there, 0 for never.
    dtmf: how our digits reach it: RFC 4733 events if agreed on and else as sound (auto), only as events (rtp), by
    SIP INFO (info), as sound (inband). headers: lines of every INVITE over it."""

    name: str = Field(min_length=1)
    host: Hosts = ()
    allow_from: Networks = ()
    user: str = ""
    auth_user: str = ""
    password_env: str = ""
    password: SecretStr = SecretStr("")  # from the variable, never from the file
    challenge: bool = False
    registers: bool = Field(default=False, alias="register")
    expiry_s: int = Field(default=3600, ge=60, le=86400)
    codecs: CodecNames = ()
    srtp: SrtpPolicy | None = None
    max_calls: int = Field(default=0, ge=0)
    caller_id: CallerId = CallerId()
    allowed: Patterns = ()
    refer: Literal["accept", "refuse"] = "accept"
    keepalive_s: float = Field(default=0, ge=0, le=3600)
    dtmf: Literal["auto", "rtp", "info", "inband"] = "auto"
    headers: HeaderLines = {}
    tls_name: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.registers and not (self.host and self.user):
            raise ValueError(f"trunk {self.name!r}: `register` needs host and user. Add them.")
        if self.keepalive_s and not self.host:
            raise ValueError(f"trunk {self.name!r}: `keepalive_s` needs a host to ask. Add it.")
        if (self.challenge or self.auth_user) and not (self.user and self.password_env):
            raise ValueError(f"trunk {self.name!r}: a login needs user and password_env. Add them.")
        return self


class RejectCodes(Part):
    """What a call is refused with. stranger: from nowhere we know. login: wrong password. flood: too many a
    second. busy: max_calls. leaving: the server stops. unavailable: no agent can take it. Strangers who are
    ignored get nothing at all; a number without a rule gets 404, or what its rule says."""

    stranger: Code = 403
    login: Code = 403
    flood: Code = 503
    busy: Code = 503
    leaving: Code = 503
    unavailable: Code = 503


class AccessSettings(Part):
    """How strangers and floods are treated.

    strangers: None is `lan` while there are no trunks, and `drop` once there is one. per_second,
    per_second_source: new calls over all and from one address, 0 for any number. ban_s: how long scanners
    are ignored. scanners: words in their User-Agent. realm: what phones show that are asked to log in."""

    strangers: Strangers | None = None
    per_second: float = Field(default=200, ge=0)
    per_second_source: float = Field(default=100, ge=0)
    ban_s: float = Field(default=600, ge=0)
    scanners: Annotated[tuple[str, ...], BeforeValidator(as_list)] = SCANNERS
    realm: str = Field(default="offhook", min_length=1)
    retry_after_s: int = Field(default=5, ge=0, le=3600)
    codes: RejectCodes = RejectCodes()


def take_passwords(document: Document, trunks: Plain, environ: Mapping[str, str]) -> list[Problem]:
    """Put the passwords that the trunks name into them. Returns what is wrong with that."""
    problems = []
    for at, trunk in enumerate(trunks if isinstance(trunks, list) else []):
        if not isinstance(trunk, dict):
            continue
        if trunk.pop("password", None) is not None:
            text = "a password does not belong here. Put it into .env, and its name here: `password_env:`."
            problems.append(document.problem(("trunks", at, "password"), text, key=True))
        name = trunk.get("password_env")
        if isinstance(name, str) and (password := environ.get(name)):
            trunk["password"] = password
        elif isinstance(name, str):
            text = f"no variable {name!r} in the environment or .env. Set it to the trunk's password."
            problems.append(document.problem(("trunks", at, "password_env"), text))
    return problems

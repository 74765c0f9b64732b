"""What single values of a dial plan look like: texts with a form, their types. Pure.

Every value arrives as text (`document.py`). What consists of them is in persona.py and routing.py."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from telephony.dialplan.document import nearest
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
_KEY = re.compile(r"[0-9*#A-D]", re.ASCII)
_SLOT = re.compile(r"\{([^{}]*)\}")
_SLOT_FORM = re.compile(r"(\w+)(:(?:[1-9]|[12][0-9]|3[0-2]))?", re.ASCII)


class PlanModel(BaseModel):
    """Base of everything in the file: no key is guessed at, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- texts with a form


def as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty. Write a text or remove the line.")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError(f"{text!r} is not a language. Write it like en-US (BCP 47).")
    return text


def checked_tool(text: str) -> str:
    if text in BUILT_IN_TOOLS or _PYTHON.fullmatch(text):
        return text
    if ":" in text or "." in text:
        raise ValueError(f"{text!r} is not a tool. Write it as package.module:function.")
    raise ValueError(f"there is no built-in tool {text!r}.{nearest(text, BUILT_IN_TOOLS)}")


def checked_python(text: str) -> str:
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


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError(f"{text!r} is no key of a telephone. Write one of 0 to 9, * and #.")
    return text


def checked_target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError(
            f"{text!r} is no transfer target. Write a SIP address (sip:desk@pbx.example.com) or a number."
        )
    return text


def as_destination(value: Any) -> Any:
    """`sip:desk@pbx.example.com`, or `{target: ..., attended: yes}`."""
    return {"target": value} if isinstance(value, str) else value


def _uri(text: str) -> str:
    if not _TARGET.fullmatch(text) or ":" not in text:
        raise ValueError(
            f"{text!r} is nowhere to send a caller. Write a SIP address: sip:desk@pbx.example.com."
        )
    return text


def checked_header_lines(lines: dict[str, str]) -> dict[str, str]:
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


def checked_collected(text: str) -> str:
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


def as_collect(value: Any) -> Any:
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


def as_provider(value: Any) -> Any:
    """`groq`, or `{provider: groq, model: ...}`: the rest are the provider's own options."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "provider" in value:
        return {"name": value["provider"], "options": {k: v for k, v in value.items() if k != "provider"}}
    if isinstance(value, dict) and not ("name" in value and set(value) <= {"name", "options", "routing"}):
        raise ValueError("a provider needs its name. Add `provider:`, for instance `provider: groq`.")
    return value


def as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def as_servers(value: Any) -> Any:
    """`crm`, `[crm, calendar]`, or already with what the plan says of them."""
    names = [value] if isinstance(value, str) else value
    return (
        dict.fromkeys(names) if isinstance(names, list) and all(isinstance(n, str) for n in names) else value
    )


def checked_url(text: str) -> str:
    if text and not _URL.fullmatch(text):
        raise ValueError(
            f"{text!r} is not the address of an MCP server. Write it like https://crm.example.com/mcp."
        )
    return text


def checked_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{text!r} cannot begin a tool's name. Use up to 20 letters, digits, _ and -.")
    return text


def as_command(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


def as_voice(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Text: TypeAlias = Annotated[str, AfterValidator(_filled)]
Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]
Phrases: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_phrase)], ...], BeforeValidator(as_tuple)]
Names: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]
Uris: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_uri)], ...], BeforeValidator(as_tuple)]
Target: TypeAlias = Annotated[str, AfterValidator(checked_target)]
Language: TypeAlias = Annotated[str, AfterValidator(_language)]
Duration: TypeAlias = Annotated[
    float,
    BeforeValidator(_duration),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": rf"^\s*{_DURATION.pattern}\s*$"}),
]
Recording: TypeAlias = Literal["on", "off", "announce", "ask"]
Cassette: TypeAlias = Literal["off", "on", "masked"]
BeforeAnswer: TypeAlias = Literal["ringing", "ringback", "silence"]
Country: TypeAlias = Literal["us", "eu", "de", "uk"]
Pronounce: TypeAlias = Annotated[dict[str, str], AfterValidator(_pronounced)]
Key: TypeAlias = Annotated[str, AfterValidator(_key)]
Tuning: TypeAlias = Annotated[int | float | str, Field(union_mode="left_to_right")]

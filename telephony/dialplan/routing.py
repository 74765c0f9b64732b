"""What becomes of the calls of a number, as frozen models: number rules, conditions, targets, limits. Pure data.

Which rule wins is match.py's business, whether names lead anywhere check.py's."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from telephony.dialplan.hours import Dates, Days, TimeSpan
from telephony.dialplan.number import is_fixed, parse_pattern
from telephony.dialplan.persona import OnFailure, as_on_failure
from telephony.dialplan.saying import Said, Saying, Words
from telephony.dialplan.values import (
    BeforeAnswer,
    Cassette,
    Country,
    Duration,
    Key,
    Language,
    Names,
    PlanModel,
    Recording,
    Target,
    Text,
    Uris,
    checked_target,
)

ANONYMOUS = "anonymous"

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?) ?%", re.ASCII)
_LOAD = re.compile(r"(?:>=? ?)?(\d{1,3}) ?%", re.ASCII)
_NATIONAL = re.compile(r"national [A-Za-z]{2}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}", re.ASCII)
HEADERS = ("Accept-Language", "Diversion", "History-Info", "P-Asserted-Identity", "Subject", "User-Agent")


# ---------------------------------------------------------------- texts with a form


def _number(text: str) -> str:
    if not is_fixed(text):
        parse_pattern(text)
    return text


def _percent(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    form = _PERCENT.fullmatch(value.strip())
    if form is None or not 0 < float(form[1]) <= 100:
        raise ValueError(f"{value!r} is not a share. Write it like 90%.")
    return float(form[1])


def _load(text: str) -> str:
    form = _LOAD.fullmatch(text.strip())
    if form is None or int(form[1]) > 100:
        raise ValueError(f"{text!r} is not a load. Write it like 80%, which is that much or more.")
    return text


def load_share(text: str) -> float:
    """The share of capacity that `load: 80%` means."""
    form = _LOAD.fullmatch(text.strip())
    return int(form[1]) / 100 if form else 1.0


def checked_header(name: str) -> str:
    """The name of a header that plans may ask about. Raises ValueError for any other."""
    known = {header.lower() for header in HEADERS}
    if not _HEADER.fullmatch(name) or not (name.lower().startswith("x-") or name.lower() in known):
        raise ValueError(
            f"header {name!r} is not passed to the plan. Use an X- header, or {', '.join(HEADERS)}."
        )
    return name


def _numbering(text: str) -> str:
    if text not in ("as_sent", "e164") and not _NATIONAL.fullmatch(text):
        raise ValueError(f"{text!r} is no way to send numbers. Write e164, national de, or as_sent.")
    return text


def _as_trunks(value: Any) -> Any:
    """`[carrier]`, or `{carrier: {numbers: national de}}`."""
    value = [value] if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {name: {} for name in value}
    if isinstance(value, dict):
        return {name: {} if item is None else item for name, item in value.items()}
    return value


def _as_list(value: Any) -> Any:
    return {"numbers": value} if isinstance(value, str | list) else value


def _as_limit(value: Any) -> Any:
    return {"limit": value} if isinstance(value, str | int) else value


def _said(value: Any) -> Any:
    return {"say": value} if isinstance(value, str) else value


def _rung(value: Any) -> Any:
    return {"target": value} if isinstance(value, str) else value


NumberText: TypeAlias = Annotated[str, AfterValidator(_number)]
Percent: TypeAlias = Annotated[float, BeforeValidator(_percent)]


# ---------------------------------------------------------------- conditions


class When(PlanModel):
    """When a branch is taken: all that is written must be true. Within one key, any of several will do.

    caller: names of lists, numbers, patterns, `anonymous`. header: name → text with `*`. language: of Accept-Language.
    calendar with is: open, closed (holidays too) or holiday. load: so much of the capacity is in use, or more."""

    caller: Names = ()
    trunk: Names = ()
    header: dict[Annotated[str, AfterValidator(checked_header)], Text] = {}
    language: Annotated[
        tuple[Language, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)
    ] = ()
    calendar: str = ""
    is_: Literal["open", "closed", "holiday"] = Field(default="open", alias="is")
    day: Days | None = None
    time: TimeSpan | None = None
    date: Dates | None = None
    load: Annotated[str, AfterValidator(_load)] | None = None

    @property
    def temporal(self) -> bool:
        """Does it ask for nothing but the time?"""
        return not (self.caller or self.trunk or self.header or self.language or self.load)


# ---------------------------------------------------------------- where a call goes


class Outcome(PlanModel):
    """Where calls go: exactly one of these. split: shares of agents and targets, by call."""

    agent: str = ""
    target: str = ""
    reject: int | None = Field(default=None, ge=400, le=699)
    redirect: Uris = ()
    split: dict[str, Percent] | None = None


class Branch(Outcome):
    """One line of a number's `routes`: the first whose `when` is true takes the call."""

    when: When | None = None


class Ring(PlanModel):
    """Phone somebody and join the two calls. then: who takes a call that nobody answers."""

    target: Target
    ring: Duration = 25.0
    then: str = ""


class Voicemail(PlanModel):
    """Say something, beep, and record the caller's message."""

    say: Said = Saying(text="Please leave a message after the tone.")
    max: Duration = 120.0
    silence: Duration = 4.0
    thanks: Said = Saying(text="Thank you. Goodbye.")


class Play(PlanModel):
    """Say something, and hang up, or go on to `then`."""

    say: Words
    then: str = ""


class Menu(PlanModel):
    """Keys and where they lead. tries: how often it is said; then: who takes a caller that presses nothing."""

    say: Words
    keys: dict[Key, Text] = Field(min_length=1)
    tries: int = Field(default=3, ge=1, le=10)
    wait: Duration = 6.0
    then: str = ""


class Queue(PlanModel):
    """Wait with music until fewer than `places` callers talk to `agent`. say: at once, and again `every` so often."""

    say: Words
    agent: Text
    places: int = Field(ge=1)
    every: Duration = 30.0
    longest: Duration = 600.0
    then: str = ""


class TargetSpec(PlanModel):
    """Somewhere calls go that is no agent of one's own. Exactly one of these."""

    ring: Annotated[Ring | None, BeforeValidator(_rung)] = None
    voicemail: Annotated[Voicemail | None, BeforeValidator(_said)] = None
    play: Annotated[Play | None, BeforeValidator(_said)] = None
    menu: Menu | None = None
    queue: Queue | None = None
    reject: int | None = Field(default=None, ge=400, le=699)
    redirect: Uris = ()
    split: dict[str, Percent] = {}

    @property
    def does(self) -> Ring | Voicemail | Play | Menu | Queue | None:
        """What is done with the caller once the call is answered; None if it is not answered here."""
        return self.ring or self.voicemail or self.play or self.menu or self.queue

    def located(self, plan_path: str) -> TargetSpec:
        """With the paths of its sounds as this process sees them."""
        for name in ("voicemail", "play", "menu", "queue"):
            if (part := getattr(self, name)) is not None:
                heard = {key: value.located(plan_path) for key, value in part if isinstance(value, Saying)}
                return self.model_copy(update={name: part.model_copy(update=heard)})
        return self

    @property
    def unanswered(self) -> bool:
        """Is a call refused, sent on or shared out here, so that it can come only before it is answered?"""
        return self.does is None and bool(self.reject or self.redirect or self.split)

    @property
    def leads_to(self) -> tuple[str, ...]:
        """The agents and targets that a call may go to from here."""
        keys = tuple(self.menu.keys.values()) if self.menu else ()
        agent = (self.queue.agent,) if self.queue else ()
        then = getattr(self.does, "then", "")
        return tuple(dict.fromkeys((*keys, *agent, *self.split, *((then,) if then else ()))))


class Limit(PlanModel):
    """So many calls. then: who takes those above; without, they are refused with 486."""

    limit: int = Field(ge=1)
    then: str = ""


class CallerList(PlanModel):
    """Callers by number. file: one number or pattern a line, first column of a .csv; beside the plan."""

    numbers: Names = ()
    file: str = ""


class TrunkUse(PlanModel):
    """How a trunk sends numbers: `e164`, `national de`, or `as_sent`."""

    numbers: Annotated[str, AfterValidator(_numbering)] = "as_sent"


class NumberRoute(Outcome):
    """One number rule: who takes its calls, within which hours and limits.

    priority: before all rules of a lower one, however narrow. open: the calendar whose hours it keeps; outside them
    `closed` of on_failure takes the calls. routes: instead of one outcome, the first branch that fits. hold_music,
    tones, before_answer, recording, announcement, on_failure: None for what the plan's defaults say."""

    number: NumberText
    name: str = ""
    priority: int = Field(default=0, ge=-100, le=100)
    open: str = ""
    routes: tuple[Branch, ...] = ()
    max_calls: Annotated[Limit | None, BeforeValidator(_as_limit)] = None
    calls_per_hour: Annotated[Limit | None, BeforeValidator(_as_limit)] = None
    max_call: Duration | None = None
    hold_music: Text | None = None
    tones: Country | None = None
    before_answer: BeforeAnswer | None = None
    recording: Recording | None = None
    cassette: Cassette | None = None
    announcement: Words | None = None
    on_failure: Annotated[OnFailure | None, BeforeValidator(as_on_failure)] = None


class PlanTest(PlanModel):
    """A call that somebody has thought about. call_id: decides splits. expect: an agent, a target, or a SIP status."""

    call: Text
    caller: str = Field(default="", alias="from")
    trunk: str = ""
    at: str = ""
    headers: dict[Annotated[str, AfterValidator(checked_header)], str] = {}
    call_id: str = ""
    expect: Text


Trunks: TypeAlias = Annotated[dict[str, TrunkUse], BeforeValidator(_as_trunks)]
CallerLists: TypeAlias = dict[str, Annotated[CallerList, BeforeValidator(_as_list)]]


def is_address(name: str) -> bool:
    """A SIP address or number, not the name of an agent or target."""
    try:
        checked_target(name)
    except ValueError:
        return False
    return True

"""What a call must be like, written by QA in YAML beside the recording: `NAME.expect.yaml`, or `expect` in call.json.

    agent: {contains: [Monday to Friday], lacks: [sorry], matches: ['\\binvoice \\d+']}
    tools: [{name: look_up_invoice, arguments: {number: "4271"}, ok: yes}]
    response_delay: {p95_ms: 1200}

Reading only; what a call makes of it is checking.py. Every mistake is told at once with file, line and column.
The keys are explained in docs/replay-report.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from offhook.bundle import FACTS, Record, read_facts
from offhook.errors import OffhookError
from pipeline.judging import OUTCOMES, Outcome
from pipeline.rubrics import RUBRICS
from telephony.dialplan.document import FileProblems, nearest
from telephony.dialplan.load import load_model

SUFFIX = ".expect.yaml"
INSIDE = "expect.yaml"  # in the folder of a bundle

T = TypeVar("T")


class ExpectationError(OffhookError):
    """What is expected of a call cannot be read. The message lists every problem, one a line."""


def _several(given: object) -> object:
    """One may be written without a list."""
    return given if isinstance(given, list) or given is None else [given]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}. Mend it or use `contains`.") from None
    return text


def _rubric(name: str) -> str:
    if name and name not in RUBRICS:
        raise ValueError(f"no rubric {name!r}.{nearest(name, RUBRICS)} Or write your own in `question`.")
    return name


def _label(word: str) -> str:
    if word and word.casefold() not in OUTCOMES and word.casefold() != "unsure":
        raise ValueError(f"label is {word!r}. Write passed, failed or unsure.")
    return str(OUTCOMES.get(word.casefold(), word.casefold()))


def _ending(by: str) -> str:
    if by not in ENDINGS:
        raise ValueError(f"nobody called {by!r} ends calls.{nearest(by, ENDINGS)}")
    return by


ENDINGS = ("caller", "callee", "us", "network")

Several = Annotated[list[T], BeforeValidator(_several)]


class Part(BaseModel):
    """Base of what is written in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Words(Part):
    """What one side says in the call, in any case of letters. matches: regular expressions, a turn a line."""

    contains: Several[str] = []
    lacks: Several[str] = []
    matches: Several[Annotated[str, AfterValidator(_pattern)]] = []


class Tool(Part):
    """A tool is called. arguments: those that matter, compared as text or number. times: exactly so often; 0 never."""

    name: str
    arguments: dict[str, Any] = {}
    ok: bool | None = None
    times: int | None = Field(default=None, ge=0)


class Delays(Part):
    """Response delay of the call's answers, at most, in ms."""

    p50_ms: float | None = Field(default=None, gt=0)
    p95_ms: float | None = Field(default=None, gt=0)
    max_ms: float | None = Field(default=None, gt=0)


class Reference(Part):
    """What the caller really says, turn by turn, and how much of it may be misheard (word error rate, 0.1 is 10 %)."""

    caller: Several[str]
    errors_under: float = Field(default=0.2, ge=0)


class Question(Part):
    """A question to the judge: a rubric by its name, or one of your own. label: what a person thinks of this call.
    votes: how often it is asked; more than half must agree."""

    rubric: Annotated[str, AfterValidator(_rubric)] = ""
    question: str = ""
    label: Annotated[str, AfterValidator(_label)] = ""
    votes: int = Field(default=3, ge=1, le=9)

    @property
    def name(self) -> str:
        return self.rubric or self.question

    @property
    def asked(self) -> str:
        return RUBRICS.get(self.rubric, self.question)

    @property
    def human(self) -> Outcome | None:
        """The label as an outcome, None if nobody labelled the call."""
        return "unsure" if self.label == "unsure" else OUTCOMES.get(self.label)


def _question(given: object) -> object:
    """A bare name is a rubric."""
    return {"rubric": given} if isinstance(given, str) else given


class Expectations(Part):
    """All that is expected of one call. What is not written is not checked."""

    agent: Words = Words()
    caller: Words = Words()
    tools: Several[Tool] = []
    handoff_to: Several[str] | None = None
    ended_by: Annotated[str, AfterValidator(_ending)] | None = None
    cause: str | None = None
    interruptions: int | None = Field(default=None, ge=0)
    response_delay: Delays = Delays()
    silence_under_s: float | None = Field(default=None, gt=0)
    keys: str | None = None
    reference: Reference | None = None
    judge: Several[Annotated[Question, BeforeValidator(_question)]] = []


def load_expectations(path: Path) -> Expectations:
    """Read one file. Raises ExpectationError with everything that is wrong with it, each with file:line:column."""
    try:
        return load_model(path, Expectations)
    except FileProblems as error:
        raise ExpectationError(str(error)) from error


def find_expectations(recording: Path | None, record: Record) -> Expectations | None:
    """What is expected of this call: the file beside the recording, or in or beside the bundle, else its own tags.

    recording: what was replayed, None for a live call. None if nobody wrote anything. Raises ExpectationError."""
    places = [] if recording is None else [recording.with_name(f"{recording.stem}{SUFFIX}")]
    tags = record.facts.get("expect")
    if recording is not None:
        places += [recording.with_name(f"{recording.name}{SUFFIX}"), recording / INSIDE]
        if tags is None and (recording / FACTS).is_file():  # a bundle's; what was made of it has no tags
            tags = read_facts(recording).get("expect")
    places += [record.path / INSIDE, record.path.with_name(f"{record.path.name}{SUFFIX}")]
    for place in places:
        if place.is_file():
            return load_expectations(place)
    return None if tags is None else from_tags(tags, record.path / FACTS)


def from_tags(tags: object, place: Path) -> Expectations:
    """Expectations that stand in a bundle's own call.json. Raises ExpectationError naming the key."""
    if not isinstance(tags, Mapping):
        raise ExpectationError(
            f"{place}: `expect` is {json.dumps(tags)[:60]}, not an object. Write keys and values."
        )
    try:
        return Expectations.model_validate(tags)
    except ValidationError as error:
        raise ExpectationError(
            "\n".join(_told(place, dict(problem)) for problem in error.errors())
        ) from error


def _told(place: Path, problem: Mapping[str, Any]) -> str:
    where = ".".join(["expect", *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        name = str(problem["loc"][-1])
        known = Expectations.model_fields if len(problem["loc"]) == 1 else ()
        return f"{place}: {where}: unknown key {name!r}.{nearest(name, known)}"
    return f"{place}: {where}: {str(problem['msg']).removeprefix('Value error, ')}"

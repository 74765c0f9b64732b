"""Tasks by a word, for dial plans: `collect: digits 4`, `collect: phone_number de`, `collect: choice sales, support`.

What is secret (PINs, cards) is not among them: a plan's `{result}` is text that history, log and model see."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any, cast

from pydantic import BaseModel, create_model

from pipeline.agent.tasks.ask import Ask
from pipeline.agent.tasks.calendar import AskDate, AskMoment, AskTime
from pipeline.agent.tasks.choices import AskChoice, AskYesNo
from pipeline.agent.tasks.figures import AskDigits, AskPhoneNumber
from pipeline.agent.tasks.people import AskAddress, AskEmail, AskName
from pipeline.agent.tools import FunctionTool, RunContext
from pipeline.errors import ConfigError, ToolError
from pipeline.ports import ToolSpec

_COUNT = re.compile(r"(\d{1,2})(?:\s*-\s*(\d{1,2}))?")


def _plain(kind: Callable[..., Ask[Any]], **fixed: Any) -> Callable[..., Ask[Any]]:
    def make(rest: str, options: dict[str, Any]) -> Ask[Any]:
        if rest:
            raise ConfigError(f"nothing may follow it, here {rest!r} does. Remove that.")
        return kind(**fixed, **options)

    return make


def _of_country(kind: Callable[..., Ask[Any]]) -> Callable[..., Ask[Any]]:
    def make(rest: str, options: dict[str, Any]) -> Ask[Any]:
        if rest and not re.fullmatch(r"[A-Za-z]{2}", rest):
            raise ConfigError(f"{rest!r} is no country. Write its two letters, such as de (ISO 3166).")
        return kind(country=rest or "US", **options)

    return make


def _digits(rest: str, options: dict[str, Any]) -> Ask[Any]:
    found = _COUNT.fullmatch(rest)
    if rest and (found is None or not 1 <= int(found[1]) <= int(found[2] or found[1]) <= 32):
        raise ConfigError(f"{rest!r} is no count. Write digits 4 or digits 4-8, from 1 to 32.")
    if found is None:
        return AskDigits(**options)
    if found[2] is None:
        return AskDigits(digits=int(found[1]), **options)
    return AskDigits(at_least=int(found[1]), at_most=int(found[2]), **options)


def _choice(rest: str, options: dict[str, Any]) -> Ask[Any]:
    names = [name.strip() for name in rest.split(",") if name.strip()]
    if len(names) < 2:
        raise ConfigError("there is nothing to choose. Write choice sales, support.")
    return AskChoice(options.pop("question", "Which one: {choices}?"), names, **options)


def _yes_no(rest: str, options: dict[str, Any]) -> Ask[Any]:
    if "question" not in options:
        raise ConfigError("yes or no to what? Add a question: {what: yes_no, question: Is it urgent?}.")
    return _plain(AskYesNo)(rest, options)


KINDS: dict[str, Callable[[str, dict[str, Any]], Ask[Any]]] = {
    "name": _plain(AskName),
    "phone_number": _of_country(AskPhoneNumber),
    "email": _plain(AskEmail),
    "address": _of_country(AskAddress),
    "date": _plain(AskDate),
    "date_of_birth": _plain(AskDate, past=True, with_year=True),
    "time": _plain(AskTime),
    "date_and_time": _plain(AskMoment),
    "digits": _digits,
    "yes_no": _yes_no,
    "choice": _choice,
}
"""What a plan may collect. telephony/dialplan/model.py lists the same names."""


def make_task(what: str, question: str = "", confirm: bool | None = None) -> Ask[Any]:
    """The task that a line of a plan means. Raises ConfigError, naming what is wrong and what would be right."""
    kind, _, rest = what.strip().partition(" ")
    if kind not in KINDS:
        raise ConfigError(f"collect {what!r}: no {kind!r}. Known: {', '.join(KINDS)}. Use one of them.")
    options: dict[str, Any] = {"confirm": confirm} if confirm is not None else {}
    if question:
        options["question"] = question
    if kind == "date_of_birth":
        options.setdefault("question", "What is your date of birth?")
    try:
        return KINDS[kind](rest.strip(), options)
    except ConfigError as error:
        raise ConfigError(f"collect {what!r}: {error}") from error


def collect_tool(steps: Mapping[str, Mapping[str, Any]]) -> FunctionTool:
    """`collect(intent)`: has the task of that intent done, and answers with what the caller said, as text.

    steps: intent → arguments of make_task. Raises ConfigError as make_task does."""
    for step in steps.values():
        make_task(**step)

    async def collect(context: RunContext, intent: str) -> str:
        if intent not in steps:
            raise ToolError(f"There is nothing to collect for {intent!r}. Known: {', '.join(steps)}.")
        return told(await make_task(**steps[intent]).run(context))

    parameters = {
        "type": "object",
        "properties": {"intent": {"type": "string", "enum": list(steps)}},
        "required": ["intent"],
        "additionalProperties": False,
    }
    make_model = cast("Callable[..., type[BaseModel]]", create_model)
    spec = ToolSpec("collect", "Ask the caller for what this intent needs.", parameters)
    return FunctionTool(
        spec, collect, make_model("collect", intent=(str, ...)), "context", None, repeatable=True
    )


def told(value: object) -> str:
    """A result as text that a tool can read: 2026-03-06, 15:30, yes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    return value.strftime("%H:%M") if isinstance(value, time) else str(value)

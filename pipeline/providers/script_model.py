"""The lines of the `scripted` language model, as the dial plan hands them over: plain values, checked.

Pure data. The dial plan checks the same keys with line numbers before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.errors import ConfigError
from pipeline.hearing import slots

DEFAULT_NOT_UNDERSTOOD = "Sorry, I did not understand that. Could you say it again?"
DEFAULT_ELSE = "All right. What else can I do for you?"
DEFAULT_GOODBYE = "I am sorry, we do not understand each other. Please call again. Goodbye."


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class _Lines(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Lines):
    """What the agent says and does. say: taken in turn. At most one of handoff, transfer and hang_up."""

    say: Texts = ()
    handoff: str = ""
    transfer: str = ""
    hang_up: bool = False


class Intent(Step):
    """One thing callers want. after: only right after that intent. arguments: of the tool, with `{slot}`s.

    then_say: once the tool has answered; `{result}` is its answer, `{result.name}` a field of a JSON answer.
    collect: has the caller asked for something first; what they say is `{result}` in the tool's arguments, or in
    then_say if there is no tool. else_say: if it could not be had.
    expects: what its last words ask for, as in Expectation.parse.
    """

    name: str
    phrases: Texts
    after: str = ""
    tool: str = ""
    arguments: dict[str, str] = {}
    then_say: Texts = ()
    collect: dict[str, Any] | None = None
    else_say: Texts = ()
    expects: str = ""


class Script(_Lines):
    """Everything one agent understands. After max_not_understood misses in a row comes give_up."""

    intents: tuple[Intent, ...] = ()
    not_understood: Texts = ()
    max_not_understood: int = Field(default=3, ge=1)
    give_up: Step | None = None


def read_script(script: Mapping[str, Any] | Script | None) -> Script:
    """A script from plain values. Raises ConfigError with the place and what is wrong there."""
    if isinstance(script, Script):
        return script
    try:
        read = Script.model_validate(script or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"script: {place}: {first['msg']}. Fix that line of the script.") from error
    for phrase in phrases_of(read):
        slots.parse(phrase)
    return read


def phrases_of(script: Mapping[str, Any] | Script | None) -> tuple[str, ...]:
    """All phrases of a script, each once, for the recogniser's Hints."""
    read = script if isinstance(script, Script) else read_script(script)
    return tuple(dict.fromkeys(phrase for intent in read.intents for phrase in intent.phrases))

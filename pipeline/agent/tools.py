"""Tools: typed Python functions that a model may call.

`@function_tool` reads name, docstring and type hints; pydantic makes the JSON Schema and checks the arguments.
What a tool returns is told to the model; an `Agent` takes over the conversation. Errors go to the model as
text, they never end a call. Running them is tooling.py's business."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from pipeline.agent.arguments import BadArguments, read_arguments
from pipeline.agent.conversation import Conversation
from pipeline.errors import ConfigError, ToolError
from pipeline.ports import ToolSpec

TOOL_TIMEOUT_S = 10.0
OnDuplicate: TypeAlias = Literal["allow", "reject", "replace"]
DuplicateScope: TypeAlias = Literal["name", "arguments"]


class StopResponse(Exception):
    """Raise it in a tool: the model is not asked to say anything about the result."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a tool may know and do. A parameter annotated `RunContext` gets it; the model does not see it.

    call_id: an idempotency key. It is the same when the same request, made for the same words of the caller, is
    tried again: after an interruption, a timeout, or in another process. Once it has succeeded, the next is new.
    """

    session: Conversation
    call_id: str
    progress: Callable[[str], None] | None = None
    aside: Callable[[str], None] | None = None

    @property
    def userdata(self) -> Any:
        return self.session.userdata

    def update(self, message: str) -> None:
        """This takes longer: tell the model how far it is. It may talk about that and goes on with the caller;
        what the tool returns in the end is told as soon as nobody speaks."""
        if self.progress is not None:
            self.progress(message)

    def say(self, text: str) -> None:
        """Say this at once, in the agent's voice, while the tool goes on."""
        if self.aside is not None:
            self.aside(text)
        else:
            self.session.say(text)


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function with what the model must know of it.

    arguments: checks them; None for a tool that takes them as they are, `run(context, {...})`.
    cancellable: an interruption by the caller ends it; otherwise it goes on, and its result is told later.
    on_duplicate: what becomes of a second call while the first one runs; duplicate_scope: what makes it a second
    one, the tool's name or name and arguments. repeatable: it changes nothing that asking again would harm, so it is
    run again when the process that ran it has died; of others the model is told that nobody knows.
    """

    spec: ToolSpec
    run: Callable[..., Any]
    arguments: type[BaseModel] | None
    context_name: str  # name of the RunContext parameter, "" if it has none
    timeout_s: float | None = TOOL_TIMEOUT_S
    cancellable: bool = False
    on_duplicate: OnDuplicate = "reject"
    duplicate_scope: DuplicateScope = "arguments"
    repeatable: bool = False

    async def call(self, context: RunContext, arguments: str) -> Any:
        """Check the arguments and run. arguments: JSON text. Raises ToolError in words that a model can act on."""
        result = self._run(context, arguments)
        if inspect.isawaitable(result):
            return await result
        return result

    def bound_to(self, owner: object) -> FunctionTool:
        """The tool as a method of `owner`."""
        return replace(self, run=self.run.__get__(owner))

    def _run(self, context: RunContext, arguments: str) -> Any:
        if self.arguments is None:
            return self.run(context, self._read(arguments))
        checked = self._checked(self.arguments, arguments)
        values: dict[str, Any] = {name: getattr(checked, name) for name in self.arguments.model_fields}
        if self.context_name:
            values[self.context_name] = context
        return self.run(**values)

    def _read(self, arguments: str) -> dict[str, Any]:
        try:
            return read_arguments(arguments)
        except BadArguments as error:
            raise BadArguments(f"{self.spec.name}: wrong arguments ({error})") from error

    def _checked(self, kind: type[BaseModel], arguments: str) -> BaseModel:
        mended = json.dumps(self._read(arguments))
        try:
            return kind.model_validate_json(mended)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ToolError(
                f"{self.spec.name}: wrong arguments ({faults}). Call it again with these mended."
            ) from error


@overload
def function_tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def function_tool(
    *,
    name: str = "",
    description: str = "",
    timeout_s: float | None = TOOL_TIMEOUT_S,
    cancellable: bool = False,
    on_duplicate: OnDuplicate = "reject",
    duplicate_scope: DuplicateScope = "arguments",
    repeatable: bool = False,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def function_tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    timeout_s: float | None = TOOL_TIMEOUT_S,
    cancellable: bool = False,
    on_duplicate: OnDuplicate = "reject",
    duplicate_scope: DuplicateScope = "arguments",
    repeatable: bool = False,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function or of a method of an Agent or Toolset.

    timeout_s: after that the model is told that the tool did not answer; None for one that reports with
    `context.update`. The rest: see FunctionTool. Raises ConfigError for a parameter without a type hint.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        tool = _tool(function, name or function.__name__, description)
        return replace(
            tool,
            timeout_s=timeout_s,
            cancellable=cancellable,
            on_duplicate=on_duplicate,
            duplicate_scope=duplicate_scope,
            repeatable=repeatable,
        )

    return make(function) if function is not None else make


def tools_of(owner: object) -> list[FunctionTool]:
    """The tools among the methods of `owner`, bound to it; those of base classes first."""
    return [
        value.bound_to(owner)
        for kind in reversed(type(owner).__mro__)
        for value in vars(kind).values()
        if isinstance(value, FunctionTool)
    ]


def _tool(function: Callable[..., Any], name: str, description: str) -> FunctionTool:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, tuple[Any, FieldInfo]] = {}
    context_name = ""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.name not in hints:
            raise ConfigError(f"tool {name}: parameter {parameter.name!r} has no type hint. Add one.")
        if hints[parameter.name] is RunContext:
            context_name = parameter.name
            continue
        required = parameter.default is inspect.Parameter.empty
        fields[parameter.name] = (hints[parameter.name], Field(... if required else parameter.default))
    make_model = cast("Callable[..., type[BaseModel]]", create_model)
    arguments = make_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    text = description or inspect.getdoc(function) or ""
    return FunctionTool(ToolSpec(name, text, schema), function, arguments, context_name)

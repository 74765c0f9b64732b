"""Tools: typed Python functions that a model may call.

`@function_tool` reads name, docstring and type hints; pydantic makes the JSON Schema and checks the arguments.
What a tool returns is told to the model; an `Agent` takes over the conversation. Errors go to the model as
text, they never end a call. Running them is the session's business (replying.py)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from pipeline.agent.conversation import Conversation
from pipeline.errors import ConfigError, ToolError
from pipeline.ports import ToolSpec

TOOL_TIMEOUT_S = 10.0


class StopResponse(Exception):
    """Raise it in a tool: the model is not asked to say anything about the result."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a tool may know. A parameter annotated `RunContext` gets it; the model does not see it.

    call_id: the tool call's id, the same if this call is ever tried again: use it as an idempotency key.
    """

    session: Conversation
    call_id: str

    @property
    def userdata(self) -> Any:
        return self.session.userdata


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function with what the model must know of it."""

    spec: ToolSpec
    run: Callable[..., Any]
    arguments: type[BaseModel]
    context_name: str  # name of the RunContext parameter, "" if it has none
    timeout_s: float = TOOL_TIMEOUT_S

    async def call(self, context: RunContext, arguments: str) -> Any:
        """Check the arguments and run. arguments: JSON text. Raises ToolError in words that a model can act on."""
        try:
            checked = self.arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ToolError(
                f"{self.spec.name}: wrong arguments ({faults}). Call it again with these mended."
            ) from error
        values: dict[str, Any] = {name: getattr(checked, name) for name in type(checked).model_fields}
        if self.context_name:
            values[self.context_name] = context
        result = self.run(**values)
        if inspect.isawaitable(result):
            return await result
        return result

    def bound_to(self, owner: object) -> FunctionTool:
        """The tool as a method of `owner`."""
        return FunctionTool(
            self.spec, self.run.__get__(owner), self.arguments, self.context_name, self.timeout_s
        )


@overload
def function_tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def function_tool(
    *, name: str = "", description: str = "", timeout_s: float = TOOL_TIMEOUT_S
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def function_tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    timeout_s: float = TOOL_TIMEOUT_S,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function or of an Agent's method.

    timeout_s: after that the model is told that the tool did not answer. Raises ConfigError for a parameter
    without a type hint.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        return _tool(function, name or function.__name__, description, timeout_s)

    return make(function) if function is not None else make


def _tool(function: Callable[..., Any], name: str, description: str, timeout_s: float) -> FunctionTool:
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
    return FunctionTool(ToolSpec(name, text, schema), function, arguments, context_name, timeout_s)

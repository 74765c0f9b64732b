"""Other functions in the place of an agent's tools, for as long as a block lasts.

Names, schemas and the check of arguments stay those of the tool: a model that calls it wrongly is told so, as in a real
call. Nothing of the tool's own code runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from pipeline.agent.agent import Agent
from pipeline.agent.tools import FunctionTool
from pipeline.errors import ConfigError
from pipeline.ports import ToolSpec

ANYTHING: dict[str, Any] = {"type": "object", "additionalProperties": True}


class MockedTool:
    """What came to a tool instead of its own code. calls: the arguments of each call that were good, oldest first."""

    def __init__(self, name: str, answer: Any) -> None:
        self.name = name
        self.calls: list[dict[str, Any]] = []
        self._answer = answer

    @property
    def count(self) -> int:
        """How often it was called."""
        return len(self.calls)

    def in_place_of(self, tool: FunctionTool) -> FunctionTool:
        """The tool with this behind it. Raises ConfigError if it wants arguments that the tool does not have."""
        if tool.arguments is None:
            return replace(tool, run=self._called_loosely)
        known = {*tool.arguments.model_fields, tool.context_name} - {""}
        if missing := self._wanted() - known:
            raise ConfigError(
                f"the function in the place of tool {tool.spec.name!r} wants {sorted(missing)}, which the tool does not"
                f" have. Its arguments are {sorted(known)}."
            )
        context_name = tool.context_name

        def run(**values: Any) -> Any:
            return self._called(values, context_name)

        return replace(tool, run=run)

    def _called_loosely(self, context: Any, arguments: dict[str, Any]) -> Any:
        return self._called({"context": context, **arguments}, "context")

    def _called(self, values: dict[str, Any], context_name: str) -> Any:
        self.calls.append({name: value for name, value in values.items() if name != context_name})
        answer = self._answer
        if isinstance(answer, BaseException) or (
            isinstance(answer, type) and issubclass(answer, BaseException)
        ):
            raise answer
        if not callable(answer):
            return answer
        accepted = inspect.signature(answer).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
            values = {name: value for name, value in values.items() if name in accepted}
        return answer(**values)

    def _wanted(self) -> set[str]:
        """Arguments that it cannot do without."""
        if not callable(self._answer) or isinstance(self._answer, type):
            return set()
        given = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        parameters = inspect.signature(self._answer).parameters.values()
        return {each.name for each in parameters if each.default is each.empty and each.kind not in given}


@contextmanager
def mock_tools(agent: Agent | type[Agent], /, **answers: Any) -> Iterator[dict[str, MockedTool]]:
    """Have these answer instead of the agent's tools, by name. A class: instead of those of every agent of that class
    made within the block.

    An answer is a function (plain or async; it takes the arguments it names), an exception to be raised, or a value.
    Yields what was called, by name. Raises ConfigError for a tool that the agent does not have.
    """
    mocks = {name: MockedTool(name, answer) for name, answer in answers.items()}
    with ExitStack() as undo:
        if isinstance(agent, Agent):
            _replace_tools(agent, mocks, undo)
        else:
            _replace_in_class(agent, mocks, undo)
        yield mocks


def _replace_in_class(kind: type[Agent], mocks: dict[str, MockedTool], undo: ExitStack) -> None:
    own = vars(kind).get("__init__")
    made: Callable[..., None] = kind.__init__

    def init(agent: Agent, *args: Any, **kwargs: Any) -> None:
        made(agent, *args, **kwargs)
        _replace_tools(agent, mocks, undo)

    def restore() -> None:
        if own is None:
            delattr(kind, "__init__")
        else:
            setattr(kind, "__init__", own)  # noqa: B010

    setattr(kind, "__init__", init)  # noqa: B010 - the class keeps its signature for type checkers
    undo.callback(restore)


def _replace_tools(agent: Agent, mocks: dict[str, MockedTool], undo: ExitStack) -> None:
    in_toolsets = {tool.spec.name: tool for toolset in agent.tools.toolsets for tool in toolset.tools}
    for name, mock in mocks.items():
        own = agent.tools.get(name)
        tool = own or in_toolsets.get(name)
        if tool is None:
            tool = _unknown(agent, name)
        agent.tools[name] = mock.in_place_of(tool)
        if own is not None and name not in in_toolsets:
            undo.callback(agent.tools.__setitem__, name, own)
        else:
            undo.callback(agent.tools.__delitem__, name)


def _unknown(agent: Agent, name: str) -> FunctionTool:
    """A tool of a toolset that tells its tools only when it is connected; else there is a mistake in the test."""
    if all(toolset.ready for toolset in agent.tools.toolsets):
        known = ", ".join(agent.tools)
        raise ConfigError(f"agent {agent.name!r} has no tool {name!r}. Known: {known}. Mock one of these.")
    return FunctionTool(ToolSpec(name, "", ANYTHING), lambda context, arguments: None, None, "")

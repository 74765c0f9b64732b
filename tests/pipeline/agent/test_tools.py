"""Typed functions as tools: schema, arguments, errors in words a model can act on."""

from __future__ import annotations

from typing import Annotated, Any, cast

import pytest
from pydantic import Field

from pipeline.agent.agent import Agent
from pipeline.agent.conversation import Conversation
from pipeline.agent.tools import RunContext, function_tool
from pipeline.errors import ConfigError, ToolError

CONTEXT = RunContext(cast("Conversation", None), "call-1")


@function_tool
async def book(
    context: RunContext, day: Annotated[str, Field(description="a weekday")], people: int = 2
) -> str:
    """Book a table."""
    return f"{day} for {people} ({context.call_id})"


class Clerk(Agent):
    @function_tool
    def price(self, item: str) -> str:
        """Say what something costs."""
        return f"{item}: 5, says {self.name}"


async def test_the_schema_comes_from_the_type_hints_and_hides_the_context() -> None:
    assert book.spec.name == "book"
    assert book.spec.description == "Book a table."
    assert set(book.spec.parameters["properties"]) == {"day", "people"}
    assert book.spec.parameters["required"] == ["day"]
    assert book.spec.parameters["properties"]["day"]["description"] == "a weekday"


async def test_arguments_are_checked_and_defaults_filled_in() -> None:
    assert await book.call(CONTEXT, '{"day": "friday"}') == "friday for 2 (call-1)"
    assert await book.call(CONTEXT, '{"day": "friday", "people": "4"}') == "friday for 4 (call-1)"


@pytest.mark.parametrize(
    "arguments", ["{}", "not json", '{"day": "fri", "people": "many"}', '{"day":"a","x":1}']
)
async def test_wrong_arguments_tell_the_model_which(arguments: str) -> None:
    with pytest.raises(ToolError, match="wrong arguments"):
        await book.call(CONTEXT, arguments)


async def test_a_method_of_an_agent_is_a_tool_of_that_agent() -> None:
    clerk = Clerk(name="bob")
    assert set(clerk.tools) == {"price", "hang_up"}
    assert await clerk.tools["price"].call(CONTEXT, '{"item": "tea"}') == "tea: 5, says bob"


def test_a_parameter_without_a_type_is_refused_when_the_tool_is_made() -> None:
    def bad(thing) -> Any:  # type: ignore[no-untyped-def]
        return thing

    with pytest.raises(ConfigError, match="'thing' has no type hint"):
        function_tool(bad)


async def test_colleagues_and_targets_bring_their_tools_with_the_names_listed() -> None:
    agent = Agent(
        name="a", handoffs={"billing": lambda: Agent(name="billing")}, transfers={"desk": "sip:d@x"}
    )
    assert agent.tools["hand_over"].spec.parameters["properties"]["agent"]["enum"] == ["billing"]
    assert agent.tools["transfer"].spec.parameters["properties"]["target"]["enum"] == ["desk"]
    with pytest.raises(ToolError, match="no colleague 'sales'. Known: billing"):
        await agent.tools["hand_over"].call(CONTEXT, '{"agent": "sales"}')
    taken = await agent.tools["hand_over"].call(CONTEXT, '{"agent": "billing"}')
    assert isinstance(taken, Agent)

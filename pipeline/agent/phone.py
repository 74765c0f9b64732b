"""The tools that every agent on a phone has: hang up, hand over to a colleague, transfer the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, create_model

from pipeline.agent.tools import FunctionTool, RunContext, StopResponse, function_tool
from pipeline.errors import ToolError
from pipeline.ports import Destination, ToolSpec


@function_tool
async def hang_up(context: RunContext) -> None:
    """End the phone call. Say goodbye in the same answer; it is heard in full before the line closes."""
    context.session.end_call("agent_hung_up")
    raise StopResponse


@function_tool(timeout_s=60.0)
async def hold(context: RunContext) -> str:
    """Let the caller wait with music while you look something up. Say so in the same answer, before."""
    await context.session.hold(until_answered=True)
    return "The caller hears music. Call resume before you speak to them."


@function_tool(timeout_s=30.0)
async def resume(context: RunContext) -> str:
    """Take the caller back from hold."""
    if not await context.session.resume():
        raise ToolError("The caller's phone did not come back from hold. Try once more.")
    return "The caller hears you."


@function_tool
def send_digits(context: RunContext, digits: str) -> str:
    """Press keys on the phone line, for instance in a menu.

    digits: 0-9, A-D, * and #; w waits half a second, W one second, a comma two.
    """
    context.session.send_digits(digits)
    return "Pressed."


@function_tool
def pause_recording(context: RunContext) -> str:
    """Stop recording while the caller says something confidential, a card number for instance."""
    return "Paused." if context.session.pause_recording() else "This call is not recorded."


@function_tool
def resume_recording(context: RunContext) -> str:
    """Record again after pause_recording."""
    return "Recording." if context.session.resume_recording() else "This call is not recorded."


@function_tool(timeout_s=None)
async def take_message(context: RunContext) -> str:
    """Let the caller leave a message for somebody after a beep. Say so in the same answer, before."""
    taken = await context.session.take_message()
    if taken is None:
        raise ToolError("No message can be recorded on this call. Tell the caller.")
    if not taken.spoken:
        return "The caller said nothing after the beep. Ask whether they want to try again."
    return f"A message of {taken.seconds:.0f} seconds was recorded. Thank the caller and say goodbye."


PHONE_TOOLS = {
    tool.spec.name: tool
    for tool in (hold, resume, send_digits, pause_recording, resume_recording, take_message)
}
"""What a plan may grant by name."""


def hand_over_tool(colleagues: Mapping[str, Callable[[], object]]) -> FunctionTool:
    """`hand_over(agent)`, offered only to agents that have colleagues. It returns the colleague."""

    def hand_over(agent: str) -> object:
        if agent not in colleagues:
            raise ToolError(f"There is no colleague {agent!r}. Known: {', '.join(colleagues)}.")
        return colleagues[agent]()

    return _with_choice(hand_over, "agent", colleagues, "Let a colleague take over this conversation.")


def transfer_tool(targets: Mapping[str, str | Destination]) -> FunctionTool:
    """`transfer(target)`, offered only to agents that have somewhere to send a caller. How is the target's business."""

    async def transfer(context: RunContext, target: str) -> str:
        if target not in targets:
            raise ToolError(f"There is no transfer target {target!r}. Known: {', '.join(targets)}.")
        to = targets[target]
        to = Destination(to) if isinstance(to, str) else to
        outcome = await context.session.transfer(
            to.target, attended=to.attended, ring_s=to.ring_s, release=to.release, fallback=to.fallback
        )
        if outcome.ok:
            raise StopResponse
        raise ToolError(f"The transfer failed ({outcome.code} {outcome.reason}). Tell the caller and go on.")

    what = "Transfer the caller to a person or another number."
    long = any(not isinstance(to, str) and (to.attended or to.fallback != "none") for to in targets.values())
    timeout_s = None if long else 60.0  # what takes long has limits of its own
    return _with_choice(transfer, "target", targets, what, context_name="context", timeout_s=timeout_s)


def _with_choice(
    run: Callable[..., Any],
    field: str,
    names: Mapping[str, object],
    description: str,
    *,
    context_name: str = "",
    timeout_s: float | None = 10.0,
) -> FunctionTool:
    """A tool whose one argument is a name out of a list. A wrong name still reaches `run`, which can explain."""
    parameters = {
        "type": "object",
        "properties": {field: {"type": "string", "enum": list(names)}},
        "required": [field],
        "additionalProperties": False,
    }
    arguments = _one_text(run.__name__, field)
    return FunctionTool(
        ToolSpec(run.__name__, description, parameters), run, arguments, context_name, timeout_s
    )


@cache
def _one_text(name: str, field: str) -> type[BaseModel]:
    """The arguments of such a tool. Models take long to make, and every call has these."""
    make_model = cast("Callable[..., type[BaseModel]]", create_model)
    return make_model(name, **{field: (str, ...)})

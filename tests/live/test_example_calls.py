"""The examples that are shown in docs/agents.md, phoned."""

from __future__ import annotations

from pathlib import Path

from offhook.softphone import Line, place_call
from tests.live.server import REPOSITORY, running_server


async def test_the_booking_example_collects_a_number_by_phone(tmp_path: Path) -> None:
    """With what Offhook brings along: the caller keys in what the plan's intent collects, its tool answers."""
    plan = REPOSITORY / "examples" / "booking.yaml"
    async with running_server(tmp_path, spares=0, dialplan=plan, workers=1) as server:
        lines = [Line("status", keys="1"), Line("number", keys="4271")]
        await place_call(server.uri("101"), lines, timeout_s=40.0, linger=False)
        call = await server.last_call()
        await server.finished(call)
        names = [event["name"] for event in call.of("ToolFinished")]
        assert names == ["collect", "order_status"], call.story()
        assert [event["agent"] for event in call.of("AgentEntered")] == ["orders", "AskDigits", "orders"], (
            call.story()
        )
        assert "Your order is on its way. Anything else?" in call.of("AgentSpoke")[-1]["text"], call.story()

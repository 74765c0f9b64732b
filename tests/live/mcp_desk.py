"""An MCP server to be mistreated by tests: `python mcp_desk.py stdio`, `python mcp_desk.py http PORT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

desk = MCPServer("desk")


@desk.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@desk.tool()
def look_up(number: str) -> dict[str, Any]:
    """Look up a customer."""
    if number != "4711":
        raise ToolError(f"no customer {number}")
    return {"name": "Ann", "open": 2}


@desk.tool()
async def hang() -> str:
    """Never answer."""
    await asyncio.sleep(3600)
    return ""


@desk.tool()
def crash() -> str:
    """Die in the middle of a call."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@desk.tool()
def whoami(context: Context[Any, Any]) -> str:
    """Say the process, and what it knows."""
    meta = context.request_context.meta or {}
    key = dict(meta).get("offhook/idempotency-key", "") if isinstance(meta, dict) else ""
    return (
        f"{os.getpid()} {os.environ.get('DESK_TOKEN', '')} {os.environ.get('GROQ_API_KEY', '')} {key}".strip()
    )


@desk.tool()
async def stubborn() -> str:
    """Do not leave when asked to, nor the child that is started here."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = await asyncio.create_subprocess_exec("sleep", "3600")
    return f"{os.getpid()} {child.pid}"


if __name__ == "__main__":
    if sys.argv[1] == "http":
        desk.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    desk.run("stdio")

"""A small MCP server: what a company knows of its customers. `examples/customers.yaml` starts it for its agent.

Any MCP server will do, in any language; this one needs nothing but the SDK (`mcp`) that Offhook brings along."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

CUSTOMERS = {"4711": ("Ann Miller", "on its way"), "1234": ("Bob Stone", "ready for collection")}

server = MCPServer("customers")


@server.tool()
def order_status(number: str) -> dict[str, Any]:
    """Look up a customer's order. number: the four digit customer number, digits only."""
    if number not in CUSTOMERS:
        raise ToolError("There is no customer with that number")
    name, status = CUSTOMERS[number]
    return {"name": name, "status": status}


@server.tool()
def delete_customer(number: str) -> str:
    """Forget a customer. The plan does not allow it to the agent: see `allow`."""
    del CUSTOMERS[number]
    return "deleted"


if __name__ == "__main__":
    server.run("stdio")

"""Tools of an MCP server (Model Context Protocol) as a toolset: over stdio or streamable HTTP.

One connection, kept by one task: lost, it is made again with a pause that grows. A server that is dead, hangs or
talks nonsense costs only its own tools: calls are answered with an error in words, the phone call goes on. The SDK
is imported when the first server is set up, beside the loop: half a second that other workers need not pay."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from importlib import import_module
from typing import Any

import structlog

from pipeline.agent.tools import FunctionTool, RunContext
from pipeline.agent.toolset import Toolset
from pipeline.errors import ConfigError, ToolError
from pipeline.ports import ToolSpec
from pipeline.virtual_clock import outside

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
CLOSE_TIMEOUT_S = 3.0
MAX_TOOLS = 128  # of one server: each costs tokens in every request
MAX_PAGES = 20
KEY_FIELD = "offhook/idempotency-key"  # in a call's _meta

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class McpServer(Toolset):
    """The tools of one MCP server.

    command: to start it, talking over its stdin and stdout, with `env` beside a few harmless variables; or url: of
    its streamable HTTP endpoint, with `headers`. allow: names of the tools to offer as the server calls them, empty
    for all. prefix: put before their names for the model. Raises ConfigError if not exactly one of command and url
    is given.
    """

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str] = (),
        url: str = "",
        env: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        allow: Sequence[str] = (),
        prefix: str = "",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        if bool(command) == bool(url):
            raise ConfigError(f"MCP server {name!r} needs a command or a url. Give it one of the two.")
        super().__init__(name=name)
        self._command, self._url = tuple(command), url
        self._env, self._headers = dict(env or {}), dict(headers or {})
        self._allow, self._prefix = tuple(allow), prefix
        self._connect_timeout_s, self._call_timeout_s = connect_timeout_s, call_timeout_s
        self._client: Any = None  # mcp.Client while connected
        self._why_not = "it has not answered yet"
        self._keeper: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._doubtful = asyncio.Event()  # something went wrong: see whether it is still there

    @property
    def connected(self) -> bool:
        """It can be called now."""
        return self._client is not None

    async def setup(self) -> None:
        """Connect, and stay connected. A server that is not there in time is tried again beside the call."""
        self._connected.clear()
        self._keeper = asyncio.create_task(self._keep(), name=f"mcp {self.name}")
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._connected.wait()
        except TimeoutError:
            log.warning("mcp_server_not_ready", server=self.name, reason=self._why_not)
        except asyncio.CancelledError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Disconnect; a server that we started is gone when this returns."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        for _ in range(2):  # the second time whatever still waits for the server is cut short
            keeper.cancel()
            await asyncio.wait([keeper], timeout=CLOSE_TIMEOUT_S / 2)
            if keeper.done():
                break
        self._client = None

    # ------------------------------------------------------------ the connection

    async def _keep(self) -> None:
        loop, pause, mode = asyncio.get_running_loop(), FIRST_PAUSE_S, "auto"
        await asyncio.to_thread(_import_sdk)
        while True:
            began = loop.time()
            try:
                await self._live(mode)
            except Exception as error:  # the SDK, the network or the server: costs this server's tools only
                self._why_not = _reason(error)
            connected, self._client = self._client is not None, None
            self._doubtful.clear()
            if connected and loop.time() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            elif not connected:  # a server of an older time may not answer the newer greeting at all
                mode = "legacy" if mode == "auto" else "auto"
            log.warning("mcp_server_lost", server=self.name, reason=self._why_not, again_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _live(self, mode: str) -> None:
        """One connection from beginning to end. Raises whatever ended it."""
        from mcp import Client

        async with AsyncExitStack() as stack:
            with outside():
                async with asyncio.timeout(self._connect_timeout_s):
                    transport = await self._transport(stack)
                    client = Client(transport, mode=mode, cache=None, message_handler=self._on_message)
                    await stack.enter_async_context(client)
                    await self._list(client)
            self._client = client
            self._connected.set()
            log.info("mcp_server_ready", server=self.name, tools=len(self._tools))
            while True:
                await self._doubtful.wait()
                self._doubtful.clear()
                with outside():
                    async with asyncio.timeout(self._connect_timeout_s):
                        await self._list(client)

    async def _transport(self, stack: AsyncExitStack) -> AbstractAsyncContextManager[Any]:
        if self._command:
            from pipeline.agent.mcp_stdio import stdio_streams

            return stdio_streams(self.name, self._command, self._env, self._doubtful.set)
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        timeout = httpx2.Timeout(self._connect_timeout_s, read=300.0)  # a stream of events may be silent
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=self._headers, timeout=timeout))
        return streamable_http_client(self._url, http_client=http)

    async def _list(self, client: Any) -> None:
        """Ask which tools there are."""
        found: dict[str, FunctionTool] = {}
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found |= {t.name: self._tool(t) for t in page.tools if not self._allow or t.name in self._allow}
            cursor = page.next_cursor
            if not cursor:
                break
        self._tools = list(found.values())[:MAX_TOOLS]
        if missing := [name for name in self._allow if name not in found]:
            log.warning("mcp_tools_missing", server=self.name, allowed_but_missing=missing)

    async def _on_message(self, message: Any) -> None:
        """The server said something of its own accord: only a changed list of tools matters."""
        if type(message).__name__ == "ToolListChangedNotification":
            self._doubtful.set()

    # ------------------------------------------------------------ its tools

    def _tool(self, tool: Any) -> FunctionTool:
        name = _NOT_IN_NAMES.sub("_", f"{self._prefix}{tool.name}")[:64]
        schema = {"type": "object", "properties": {}, **tool.input_schema}
        spec = ToolSpec(name, tool.description or tool.title or "", schema)
        return FunctionTool(spec, partial(self._call, tool.name), None, "", timeout_s=None)

    async def _call(self, name: str, context: RunContext, arguments: dict[str, Any]) -> str:
        client = self._client
        if client is None:
            raise ToolError(
                f"{self.name} cannot be reached at the moment ({self._why_not}). Do without {name}."
            )
        try:
            async with asyncio.timeout(self._call_timeout_s):
                result = await client.call_tool(name, arguments, meta={KEY_FIELD: context.call_id})
        except TimeoutError as error:
            self._doubtful.set()
            limit = f"{self._call_timeout_s:g} s"
            raise ToolError(
                f"{self.name} did not answer {name} within {limit}. It may or may not be done."
            ) from error
        except Exception as error:  # the SDK, the network or the server: costs this call of the tool only
            self._doubtful.set()
            raise ToolError(f"{self.name} failed at {name}: {_reason(error)}") from error
        text = as_text(result)
        if result.is_error:
            raise ToolError(text or f"{name} failed.")
        return text


def as_text(result: Any) -> str:
    """What a tool answered (mcp.types.CallToolResult) in words for a model: its texts, else its data."""
    texts = [text for block in result.content if (text := _block(block))]
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(texts)


def _block(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type == "resource":
        return str(getattr(block.resource, "text", "")) or f"[{block.resource.uri}]"
    if block.type == "resource_link":
        return f"[{block.uri}]"
    return f"[{block.type}]"


def _reason(error: BaseException) -> str:
    """One line, without the wrapping that task groups add."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    text = str(getattr(error, "message", "") or error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    return first[:200]


def _import_sdk() -> None:
    """In a thread, all that a call could need: an import on the loop would be heard on every line."""
    for module in ("mcp", "httpx2", "jsonschema", "mcp.client.streamable_http", "pipeline.agent.mcp_stdio"):
        import_module(module)

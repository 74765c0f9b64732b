"""Chromium without a window, driven over its DevTools protocol: what a page is to somebody who looks at it.

Only for pages on this disk. `found()` says which browser, or that there is none: such tests are skipped."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run", "--hide-scrollbars",
      "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "about:blank",
)  # fmt: skip
WIDTH, HEIGHT = 1280, 900
START_S, ANSWER_S = 60.0, 30.0
MOST_BYTES = 1 << 28  # of one message: a picture
CODES = {" ": ("Space", 32), "Escape": ("Escape", 27), "Enter": ("Enter", 13)}


def found() -> str | None:
    """The browser that is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """The page, or the browser, did not do what it was told."""


class Tab:
    """One page. errors: what its scripts complained of, policy included."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket, self._number, self._session = socket, 0, ""
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: dict[str, asyncio.Future[None]] = {}

    async def read(self) -> None:
        """Until the connection ends."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif (waiting := self._events.pop(told["method"], None)) is not None:
                waiting.set_result(None)
            if told.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(told["params"]["exceptionDetails"].get("exception")))
            elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.errors.append(told["params"]["entry"]["text"])

    async def attach(self) -> None:
        """To a new page: those that are there at the beginning may be the browser's own."""
        page = (await self.send("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self.send("Target.attachToTarget", targetId=page, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Performance"):
            await self.send(f"{domain}.enable")
        await self.look(WIDTH, HEIGHT)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command. Raises BrowserError."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters, **session})
        async with asyncio.timeout(ANSWER_S):
            told = await answer
        if "error" in told:
            raise BrowserError(f"{method}: {told['error']['message']}")
        return dict(told["result"])

    async def open(self, page: Path, anchor: str = "") -> None:
        """Until it has been loaded. page: an absolute path. Another anchor of the page that is open loads nothing."""
        loaded = self._events["Page.loadEventFired"] = asyncio.get_running_loop().create_future()
        told = await self.send("Page.navigate", url=f"file://{quote(str(page))}{anchor}")
        if "loaderId" not in told:
            return
        async with asyncio.timeout(ANSWER_S):
            await loaded

    async def ask(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise. Raises BrowserError."""
        told = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in told:
            raise BrowserError(f"{script}: {told['exceptionDetails'].get('exception')}")
        return told["result"].get("value")

    async def press(self, key: str) -> None:
        """One key, as from a keyboard."""
        code, number = CODES.get(key, (f"Key{key.upper()}", ord(key.upper()) if len(key) == 1 else 0))
        facts = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        text = {"text": key} if len(key) == 1 else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **facts, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def click(self, selector: str) -> None:
        """In the middle of what it finds first."""
        place = await self.ask(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = one.getBoundingClientRect();"
            "return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    async def type(self, text: str) -> None:
        """Into whatever has the focus."""
        await self.send("Input.insertText", text=text)

    async def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """How big the window is, and what the system prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """What is in the window, as PNG."""
        return b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    async def print(self) -> bytes:
        """As it comes out of a printer, as PDF."""
        told = await self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return b64decode(told["data"])


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """A browser with an empty profile, gone when this ends, with all its processes."""
    program = found()
    if program is None:
        raise BrowserError(f"none of {', '.join(NAMES)} is installed. Install Chromium.")
    with TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        running = await asyncio.create_subprocess_exec(
            program,
            f"--user-data-dir={profile}",
            *OPTIONS,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_S):
                url = await _address(running)
            drained = asyncio.create_task(_drain(running))
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(
                    url, max_msg_size=MOST_BYTES, timeout=aiohttp.ClientWSTimeout(ws_close=2.0)
                ) as socket,
            ):
                tab = Tab(socket)
                reading = asyncio.create_task(tab.read())
                try:
                    await tab.attach()
                    yield tab
                finally:
                    reading.cancel()
            drained.cancel()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            await running.wait()


async def _address(running: asyncio.subprocess.Process) -> str:
    """Where it listens; it says so on its own account."""
    assert running.stderr is not None
    async for line in running.stderr:
        text = line.decode(errors="replace").strip()
        if text.startswith("DevTools listening on "):
            return text.removeprefix("DevTools listening on ")
    raise BrowserError("the browser ended before it listened. Run it by hand to see why.")


async def _drain(running: asyncio.subprocess.Process) -> None:
    assert running.stderr is not None
    while await running.stderr.read(4096):
        pass

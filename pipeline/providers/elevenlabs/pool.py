"""The connections to one voice, shared by all calls of the worker.

It is warm before it is needed, grows when more is said at a time than one connection may carry, and is opened again
when the server has hung up. Speaks no protocol (socket.py) and knows no reply (tts.py). One pool is for one address:
voice, model, language and format are part of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from pipeline.errors import ProviderError
from pipeline.providers.elevenlabs.refusals import not_opened
from pipeline.providers.elevenlabs.socket import Socket

CONNECT_S = 3.0
LARGEST_BYTES = 8 * 2**20  # of one message: two minutes of sound
STEADY_S = 1.0  # a connection that lived so long had begun well, and is worth opening again


class Waiting(Protocol):
    """A reply that wants a connection."""

    def served(self) -> None:
        """There may be a free slot now: ask again."""

    def refused(self, error: ProviderError) -> None:
        """There is no connection to be had."""


class Pool:
    """url: of the multi-context endpoint, with its query. most: connections at a time. Others: see Socket."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        opening: Mapping[str, Any],
        most: int,
        inactivity_s: float,
        idle_s: float,
    ) -> None:
        self._url, self._headers, self._opening = url, headers, opening
        self._most, self._inactivity_s, self._idle_s = most, inactivity_s, idle_s
        self._sockets: list[Socket] = []
        self._waiting: deque[Waiting] = deque()
        self._connecting: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[ProviderError | None] | None = None  # of the connection being made
        self._used_at = 0.0
        self._closed = False

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def prepare(self) -> None:
        """Have a connection ready soon."""
        self._used_at = asyncio.get_running_loop().time()
        if self._sockets:
            self._sockets[0].use()
        else:
            self._connect()

    async def warm(self) -> None:
        """Until there is one. Raises ProviderError."""
        self.prepare()
        if self._opened is not None and (error := await asyncio.shield(self._opened)) is not None:
            raise error

    def take(self) -> Socket | None:
        """A connection with a free slot, the first that has one, so that the others can rest."""
        self._used_at = asyncio.get_running_loop().time()
        return next((socket for socket in self._sockets if socket.free), None)

    def wait(self, reply: Waiting) -> None:
        """Have it told when there may be a slot. Once for each call."""
        if reply not in self._waiting:
            self._waiting.append(reply)
        self._serve()

    def forget(self, reply: Waiting) -> None:
        """It does not want one any more."""
        if reply in self._waiting:
            self._waiting.remove(reply)

    async def aclose(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await asyncio.gather(*[socket.aclose() for socket in list(self._sockets)])

    # ------------------------------------------------------------ growing and shrinking

    def _serve(self) -> None:
        """Free slots go to those who wait longest; for the rest there is another connection."""
        for _ in range(len(self._waiting)):
            if not any(socket.free for socket in self._sockets):
                break
            self._waiting.popleft().served()
        if (
            self._waiting
            and not any(socket.free for socket in self._sockets)
            and len(self._sockets) < self._most
        ):
            self._connect()

    def _connect(self) -> None:
        if self._connecting is None and not self._closed:
            self._opened = asyncio.get_running_loop().create_future()
            self._connecting = asyncio.create_task(self._open(), name="connect to elevenlabs")

    async def _open(self) -> None:
        opened, error = self._opened, None
        try:
            connection = await connect(
                self._url,
                additional_headers=self._headers,
                open_timeout=CONNECT_S,
                compression=None,  # base64 of speech hardly shrinks, and a clock runs in this process
                max_size=LARGEST_BYTES,
            )
            self._sockets.append(
                Socket(
                    connection,
                    opening=self._opening,
                    inactivity_s=self._inactivity_s,
                    idle_s=self._idle_s,
                    on_free=lambda _: self._serve(),
                    on_lost=self._lost,
                )
            )
        except (InvalidHandshake, InvalidURI, OSError, TimeoutError, EOFError) as failure:
            error = not_opened(failure)
        finally:
            self._connecting = self._opened = None
            if opened is not None and not opened.done():
                opened.set_result(error)
        if error is None:
            self._serve()
        elif not self._sockets:  # otherwise those who wait get a slot of those that there are
            waiting, self._waiting = self._waiting, deque()
            for reply in waiting:
                reply.refused(error)

    def _lost(self, socket: Socket) -> None:
        """A connection is over. One that was in use lately is opened again before somebody needs it."""
        self._sockets.remove(socket)
        now = asyncio.get_running_loop().time()
        wanted = self._waiting or (now - socket.opened_at > STEADY_S and now - self._used_at < self._idle_s)
        if wanted and not self._sockets:
            self._connect()

"""What an agent asks of the switch and waits for: a transfer, a hold, a place in a queue.

One call's, driven by bridge.py; the answers come from the link (main.py). Not what the caller hears meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from offhook.link import Hold, Message, QueueUp, Transfer
from pipeline.ports import TransferResult


class Asking:
    """One call's. held: the far side agreed to wait, perhaps when the worker before us asked."""

    def __init__(self, call_id: str, send: Callable[[Message], None], *, held: bool) -> None:
        self._call_id, self._send, self.held = call_id, send, held
        self._loop = asyncio.get_running_loop()
        self._transfer: asyncio.Future[TransferResult] | None = None
        self._holding: asyncio.Future[bool] | None = None
        self._turn: asyncio.Future[None] | None = None
        self._over = False

    @property
    def idle(self) -> bool:
        """No transfer and no hold is under way."""
        waits: list[asyncio.Future[Any] | None] = [self._transfer, self._holding]
        return all(wait is None or wait.done() for wait in waits)

    async def transfer(self, target: str) -> TransferResult:
        """Blind transfer."""
        self._transfer = self._loop.create_future()
        self._send(Transfer(call_id=self._call_id, target=target))
        return await self._transfer

    def transfer_done(self, ok: bool, code: int, reason: str) -> None:
        """The switch knows what came of it."""
        if self._transfer is not None and not self._transfer.done():
            self._transfer.set_result(TransferResult(ok, code, reason))

    async def hold(self, on: bool) -> bool:
        """A re-INVITE to wait, or to come back."""
        if self._over:
            return False
        self._holding = self._loop.create_future()
        self._send(Hold(call_id=self._call_id, on=on))
        return await self._holding

    def hold_done(self, ok: bool) -> None:
        """The switch knows what came of a hold or resume; perhaps the worker before us wanted it."""
        if self._holding is not None and not self._holding.done():
            self._holding.set_result(ok)
        elif not ok:
            self.held = False

    def queue_up(self, name: str, places: int) -> asyncio.Future[None]:
        """Wait for one of so many places."""
        self._turn = self._loop.create_future()
        self._send(QueueUp(call_id=self._call_id, queue=name, places=places))
        return self._turn

    def leave_queue(self, name: str) -> None:
        """Wait no longer."""
        self._send(QueueUp(call_id=self._call_id, queue=name, places=0))

    def your_turn(self) -> None:
        """The queue has come to this call."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def close(self) -> None:
        """The call is over: nobody answers any more."""
        self._over = True
        self.transfer_done(False, 0, "the call is over")
        self.hold_done(False)

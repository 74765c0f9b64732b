"""A reception with its phone, its trunks and one worker whose part the test plays, over loopback."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from offhook.link import TO_SWITCH, TO_WORKER, CallFinished, CallReady, Configure, EndCall, StartCall
from offhook.settings import Settings, load_settings
from offhook.switch.consulting import Consulting
from offhook.switch.metrics import Metrics
from offhook.switch.pool import Pool
from offhook.switch.reception import Reception
from offhook.switch.trunks import Trunks
from offhook.wire import Link
from telephony.dialplan.store import PlanStore
from telephony.media.ports import PortPool
from telephony.phone import Phone

HOST = "127.0.0.1"
PLAN = """
version: 1
name: Rig
agents:
  lost: {instructions: Answer.}
  desk: {instructions: Answer., transfer_to: {billing: "sip:billing@pbx.example"}, tools: [transfer]}
targets:
  boss: {ring: "sip:boss@pbx.example"}
numbers:
  - {number: "+4930123", agent: desk}
  - {number: "+4930124", agent: lost, on_failure: "sip:human@pbx.example"}
  - {number: "+4930125", agent: lost, on_failure: {agent_crash: boss, provider_outage: "sip:human@pbx.example"}}
  - {number: "+4930126", agent: lost, on_failure: {agent_crash: "sip:rescue@pbx.example"}}
  - {number: "+4930127", agent: lost, on_failure: {agent_crash: desk, provider_outage: "sip:human@pbx.example"}}
"""


class Rig:
    """What the test holds. to_worker: messages that the worker got."""

    def __init__(self, settings: Settings, phone: Phone, plan: Path) -> None:
        self.phone = phone
        self.metrics = Metrics()
        self.trunks = Trunks(settings, self.metrics)
        self.store = PlanStore.open(plan)
        self.reception = Reception(settings, self.store, self.metrics, lambda bundle: None)
        self.descriptors = 0  # how many the worker was lent
        self.to_worker: asyncio.Queue[Any] = asyncio.Queue()
        phone.access, phone.admit = self.trunks.access, self.reception.admit
        self.reception.live = lambda: phone.live
        self.reception.consulting = Consulting(phone.dial)

    def hire(self) -> tuple[Link, Link]:
        """A worker at the other end of a link. Returns its end and the switch's."""
        reception = self.reception
        nothing: dict[str, Any] = {}
        configure = Configure(
            providers=nothing, agents=nothing, log=nothing, media_timeout_s=30.0, models_socket=None
        )
        reception.pool = Pool(1, configure, reception.heard_from, reception.worker_lost)
        worker = reception.pool.workers[0]
        ours, theirs = socket.socketpair()
        worker.ready = True
        worker.link = Link(
            ours, TO_SWITCH, lambda message, _: reception.heard_from(worker, message), lambda _: None
        )
        self.worker = self._end_of(theirs)
        return self.worker, worker.link

    def hire_another(self) -> tuple[Link, Link]:
        """A second one, the spare, at a link of its own; `told` hears what is said to either."""
        assert self.reception.pool is not None
        spare = self.reception.pool.workers[1]
        ours, theirs = socket.socketpair()
        spare.ready = True
        spare.link = Link(
            ours, TO_SWITCH, lambda message, _: self.reception.heard_from(spare, message), lambda _: None
        )
        return self._end_of(theirs), spare.link

    def _end_of(self, sock: socket.socket) -> Link:
        link: Link = Link(sock, TO_WORKER, lambda *said: self._told(link, *said), lambda _: None)
        return link

    def _told(self, link: Link, message: Any, fds: list[int]) -> None:
        self.descriptors += len(fds)
        for descriptor in fds:
            os.close(descriptor)
        if isinstance(message, EndCall):
            link.send(CallFinished(call_id=message.call_id, media={}))
        self.to_worker.put_nowait(message)

    async def told(self, kind: type[Any]) -> Any:
        """The next message of that kind to the worker."""
        while not isinstance(message := await self.to_worker.get(), kind):
            pass
        return message

    async def answer(self) -> str:
        """Let the worker take the next call. Returns its id."""
        start = await self.told(StartCall)
        self.worker.send(CallReady(call_id=start.call_id))
        return str(start.call_id)


@asynccontextmanager
async def a_reception(
    folder: Path, text: str, *, longest_s: float = 15, **environ: str
) -> AsyncIterator[Rig]:
    """text: the settings. The phone is open and its calls are taken. longest_s: that the test may take."""
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "offhook.yaml").write_text(f"calls_dir: {folder / 'calls'}\n{text}")
    settings = load_settings(folder / "offhook.yaml", environ=environ)
    phone = Phone(host="127.0.0.1", port=0, ports=PortPool(HOST, 24600, 24700))
    phone.goodbye_s = 0.2
    rig = Rig(settings, phone, folder / "plan.yaml")
    links = rig.hire()
    takers: set[asyncio.Task[None]] = set()

    async def take() -> None:
        async for call in phone.calls():
            takers.add(asyncio.create_task(rig.reception.take(call)))

    try:
        async with asyncio.timeout(longest_s):
            async with phone:
                taking = asyncio.create_task(take())
                yield rig
            await taking
            await asyncio.gather(*takers)
    finally:
        for link in links:
            link.close()


@asynccontextmanager
async def a_peer(
    host: str, first: int = 24800, *, srtp: Literal["off", "required"] = "off"
) -> AsyncIterator[Phone]:
    """A carrier or PBX at that loopback address."""
    async with Phone(host=host, port=0, ports=PortPool(host, first, first + 40), srtp=srtp) as phone:
        phone.goodbye_s = 0.2
        yield phone

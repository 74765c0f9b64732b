"""One call on this machine, as the switch holds it: its leg, its worker, its record, and what outlives a worker.

Made by reception.py; recovery.py gives it another worker. Decides nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from offhook.bundle import Bundle
from offhook.link import CallReady, CallRefused, Checkpoint, Message, StartCall
from offhook.switch.pool import Worker
from offhook.usage import Tally
from telephony.call.call import Call
from telephony.dialplan.model import Route
from telephony.errors import Overloaded
from telephony.media.rescue import rescue, seconds
from telephony.media.sending_state import StreamState
from telephony.media.vitals import Vitals


@dataclass(slots=True, eq=False)
class ActiveCall:
    """One call on this machine. checkpoint, history: where the conversation stands, for another worker; vitals: where
    its media does. moved: loop time when its worker got it. takeovers: loop times of worker deaths that it has
    outlived; blamed: of those that it is to blame for. leaving: its worker has been told that it is over. alone: no
    worker has it any more. holding: we have asked the far side to wait. colleague: whom the caller talks to instead
    of the agent; consults: the number of the last one who was called."""

    call: Call
    route: Route
    worker: Worker
    bundle: Bundle
    invited: float  # loop time
    ready: asyncio.Future[CallReady | CallRefused]
    finished: asyncio.Future[dict[str, Any]]
    vitals: Vitals
    started: float = 0.0  # when its worker was told of it
    answered: float = 0.0
    confirmed: bool = False
    leaving: bool = False
    end_reason: str = ""
    checkpoint: str = ""
    history: list[str] = field(default_factory=list)
    moved: float = 0.0
    takeovers: list[float] = field(default_factory=list)
    blamed: list[float] = field(default_factory=list)
    alone: bool = False
    holding: bool = False
    colleague: Vitals | None = None
    consults: int = 0
    transferred_to: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)  # that the caller left
    tally: Tally = field(default_factory=Tally)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    dtmf: Literal["auto", "rtp", "info", "inband"] = "auto"
    _stream: StreamState = field(default_factory=lambda: StreamState.drawn(secrets.randbits))
    _rate_hz: int = 0

    @property
    def id(self) -> str:
        return self.call.id

    def tell(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Say it to the worker that has this call."""
        self.worker.send(message, fds)

    def begin(self, dtmf: Literal["auto", "rtp", "info", "inband"]) -> None:
        """Give it to its worker. Raises Overloaded if it has no sockets."""
        self.dtmf = dtmf
        self._hand_over()

    def move(self, worker: Worker) -> None:
        """Give it to another worker, which goes on with it."""
        self.worker.calls.discard(self.id)
        self.worker = worker
        worker.calls.add(self.id)
        self._hand_over()

    def saved(self, message: Checkpoint) -> None:
        """Its worker says where the conversation stands."""
        self.checkpoint = message.state
        self.history[message.kept :] = message.added

    def _hand_over(self) -> None:
        call, pair, plan = self.call, self.call.rtp, self.call.plan
        if pair is None:
            raise Overloaded("the call has no RTP sockets")
        if not self._rate_hz or not self.vitals.begun:
            self._rate_hz = plan.rate_hz if plan is not None else 8000
        state = self._stream
        start = StartCall(
            call_id=self.id,
            route=self.route.dump(),
            media=plan.dump() if plan is not None else None,
            rate_hz=self._rate_hz,
            stream={"ssrc": state.ssrc, "seq": state.seq, "timestamp": state.timestamp},
            caller=call.parties.caller.shown,
            called=call.parties.called,
            parties=call.parties.facts(),
            recording=None if self.route.recording == "off" else str(self.bundle.audio_path),
            folder=str(self.bundle.path),
            dtmf=self.dtmf,
            state=self.checkpoint,
            history=self.history,
            resumes=bool(self.answered),
            confirmed=bool(self.answered) and self.confirmed,
            holding=self.holding,
            joined=self.colleague is not None,
            consults=self.consults,
            takeovers=len(self.takeovers),
        )
        self.moved = self.ready.get_loop().time()
        self.vitals.act(False)
        self.vitals.tools(0)
        self.worker.send(start, [pair.rtp.fileno(), pair.rtcp.fileno(), self.vitals.fd])

    def save_sound(self) -> None:
        """No worker will write the recording's end: what was not on disk is in the vitals."""
        if self.route.recording != "off" and self.vitals.begun:
            rescue(self.vitals, self.bundle.audio_path, self._rate_hz)

    def media_left(self) -> dict[str, Any]:
        """The media report of a call whose end no worker has seen, from what the last one kept."""
        plan = self.call.plan
        if plan is None or not self.vitals.begun:
            return {}
        return self.vitals.counts().report(plan, self._rate_hz, self.vitals.packets_sent).dump()

    def journal(self, event: dict[str, Any]) -> None:
        """One more line of its record. An event without `at` happens now."""
        self.tally.add(event)
        self.bundle.append(event, event.get("at", self.ready.get_loop().time()), datetime.now(UTC))

    def outcome(self) -> dict[str, Any]:
        """What else came of it, for the record."""
        known = {
            "transferred_to": self.transferred_to,
            "messages": self.messages + self._cut_messages(),
            "usage": self.tally.facts(),
            "takeovers": len(self.takeovers),
        }
        return {name: value for name, value in known.items() if value}

    def _cut_messages(self) -> list[dict[str, Any]]:
        """Messages whose worker died while the caller left them."""
        whole = {message["file"] for message in self.messages}
        return [
            {"file": path.name, "seconds": round(seconds(path, self._rate_hz), 1), "spoken": None}
            for path in sorted(self.bundle.path.glob("message-*.wav"))
            if path.name not in whole
        ]

    def transferred(self, target: str) -> None:
        """The caller talks to somebody else now."""
        self.end_reason, self.transferred_to = "transferred", target

    def consultation_wav(self, number: int) -> Path | None:
        """Where a consultation is recorded; nobody has announced it to whoever is asked."""
        return self.bundle.path / f"consultation-{number}.wav" if self.route.recording == "on" else None

"""One call on this machine, as the switch holds it: its leg, its worker, its record, and what outlives a worker.

Made by reception.py; recovery.py gives it another worker. What outlives the switch itself is noted here, in memory
that the keeper holds (ledger.py); adopting.py makes the call of it again. Decides nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog

from offhook.bundle import Bundle
from offhook.link import CallReady, CallRefused, Checkpoint, Message, StartCall
from offhook.switch.held import CALL, Held
from offhook.switch.ledger import Ledger, Line
from offhook.switch.worker import Worker
from offhook.usage import Tally
from telephony.call.call import Call
from telephony.call.events import Ended
from telephony.call.state import Leg
from telephony.dialplan.model import Route
from telephony.errors import Overloaded
from telephony.media.rescue import rescue, seconds
from telephony.media.sending_state import StreamState
from telephony.media.vitals import Vitals

log = structlog.get_logger()

PLAIN = (
    "invited",
    "started",
    "answered",
    "confirmed",
    "leaving",
    "end_reason",
    "moved",
    "alone",
    "holding",
    "consults",
    "transferred_to",
    "dtmf",
    "counted",
    "asked",
)


@dataclass(slots=True, eq=False)
class ActiveCall:
    """One call on this machine. checkpoint, history: where the conversation stands, for another worker; vitals: where
    its media does. moved: loop time when its worker got it. takeovers: loop times of worker deaths that it has
    outlived; blamed: of those that it is to blame for. leaving: its worker has been told that it is over. alone: no
    worker has it any more. holding: we have asked the far side to wait. colleague: whom the caller talks to instead
    of the agent; consults: the number of the last one who was called. asked: what its agent waits for of its leg, and
    the target; queued: in which queues it stands, since when. line: to a colleague. ledger: where
    it stands, for another switch."""

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
    counted: str = ""  # as whose call it counts where callers have limits
    asked: tuple[str, str] = ("", "")
    queued: dict[str, tuple[int, float]] = field(default_factory=dict)
    line: Line | None = None
    ledger: Ledger | None = None
    held: Held = field(default_factory=Held)
    _noted: dict[str, Any] = field(default_factory=dict)
    _stream: StreamState = field(default_factory=lambda: StreamState.drawn(secrets.randbits))
    _rate_hz: int = 0

    @property
    def id(self) -> str:
        return self.call.id

    @property
    def over(self) -> bool:
        """Nobody is at the far end any more, so no other worker gets it: its sockets are closed."""
        return self.leaving or self.call.leg is Leg.OVER

    def finish(self, media: Mapping[str, Any] | None = None) -> None:
        """Its worker is done with it. media: its report, none if it could not make one. Only the first counts."""
        if not self.finished.done():
            self.finished.set_result(dict(media or {}))

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
        self._write({"said": {"state": message.state, "kept": message.kept, "added": message.added}})

    def ask(self, what: str, target: str = "") -> None:
        """Its agent waits for this from now on; "" for nothing."""
        self.asked = (what, target)
        self.note()

    # ------------------------------------------------------------ for another switch

    def keep(self) -> None:
        """Write everything down anew, with the descriptors of now. One that is over has none any more."""
        if self.call.rtp is not None and self.call.rtp.rtp.fileno() < 0:
            return
        try:
            self.begin_to_keep()
        except OSError as error:
            log.error("call_not_kept", call_id=self.id, error=str(error))

    def begin_to_keep(self) -> None:
        """From now on another switch could go on with it. Raises OSError if there is no memory for that."""
        before, self.ledger = self.ledger, Ledger.create()
        if before is not None:
            before.close()
        self.ledger.append({"route": self.route.dump()})
        if self.checkpoint:
            self.ledger.append({"said": {"state": self.checkpoint, "kept": 0, "added": self.history}})
        self._noted = self.dump()
        self.ledger.append({"stands": self._noted})
        self.ledger.begun()
        pair = self.call.rtp
        socks = [pair.rtp.fileno(), pair.rtcp.fileno()] if pair is not None else []
        line = self.line.fds if self.line is not None else []
        self.held.keep_all(CALL + self.id, [self.ledger.fd, self.vitals.fd, *socks, *line])

    def note(self) -> None:
        """Write down where it stands, if that has changed."""
        if self.ledger is not None and (stands := self.dump()) != self._noted:
            self._noted = stands
            self._write({"stands": stands})

    def dump(self) -> dict[str, Any]:
        """Plain values from which `load` makes the call again, but for its route and its conversation."""
        plain = {name: getattr(self, name) for name in PLAIN}
        return {
            **plain,
            "call": self.call.snapshot(),
            "worker": self.worker.number,
            "bundle": str(self.bundle.path),
            "takeovers": [*self.takeovers],
            "blamed": [*self.blamed],
            "messages": [*self.messages],
            "queued": {**self.queued},
            "line": self.line.dump() if self.line is not None else None,
            "stream": asdict(self._stream),
            "rate_hz": self._rate_hz,
        }

    def load(self, stands: Mapping[str, Any]) -> None:
        """Be what `dump` described."""
        for name in (*PLAIN, "takeovers", "blamed", "messages"):
            setattr(self, name, stands[name])
        self.asked = (stands["asked"][0], stands["asked"][1])
        self.queued = {name: (places, since) for name, (places, since) in stands["queued"].items()}
        self._stream, self._rate_hz = StreamState(**stands["stream"]), stands["rate_hz"]

    def forget(self) -> None:
        """It is over: another switch has nothing to go on with."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None
            self.held.drop(CALL + self.id)
        self.vitals.close()

    def _write(self, row: dict[str, Any]) -> None:
        if self.ledger is None:
            return
        try:
            if self.ledger.full:
                self.begin_to_keep()
            else:
                self.ledger.append(row)
        except OSError as error:
            log.error("call_not_kept", call_id=self.id, error=str(error))

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

    def conclude(self, ended: Ended, media: dict[str, Any], reason: str) -> float:
        """The last lines of its record. media: its worker's report. Returns for how long they talked, s."""
        now = self.ready.get_loop().time()
        if usage := self.tally.facts():
            self.journal({"type": "UsageSummed", **usage})
        self.journal({"type": "CallEnded", "by": ended.by, "code": ended.code, "reason": reason})
        duration_s = now - self.answered if self.answered else 0.0
        self.bundle.close(
            {
                "answered_after_s": round(self.answered - self.invited, 3) if self.answered else None,
                "ended": datetime.now(UTC).isoformat(),
                "duration_s": round(duration_s, 3),
                "ended_by": ended.by,
                "ended_reason": ended.reason,
                "code": ended.code,
                "cause": reason,
                **self.outcome(),
                "media": media,
            }
        )
        return duration_s

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

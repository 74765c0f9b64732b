"""What the switch and its workers say to each other: typed messages, one JSON object a line, and RTP sockets.

A `Link` is one end of a Unix socket pair. Descriptors travel beside the message that names them (SCM_RIGHTS).
Sending never blocks: what the socket does not take at once waits in order."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_WAITING_BYTES = 32 * 1024 * 1024
READ_BYTES = 256 * 1024
MAX_FDS = 64


class Message(BaseModel):
    """One line on the link. fds: how many descriptors came with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fds: int = 0


# ---------------------------------------------------------------- switch → worker


class Configure(Message):
    """First on every link: what the worker needs to know of the settings."""

    kind: Literal["Configure"] = "Configure"
    providers: dict[str, Any]  # offhook.settings.Providers: what the plan does not say
    agents: dict[str, Any]  # every persona of the plan: the worker says now if one cannot be played
    log: dict[str, Any]  # offhook.settings.LogSettings
    media_timeout_s: float
    hang_up_on: tuple[str, ...] = ()  # busy, fax
    models_socket: str | None


class Rehearse(Message):
    """A new dial plan is about to be used: make its agents once. Rehearsed follows. number: of this rehearsal."""

    kind: Literal["Rehearse"] = "Rehearse"
    number: int
    agents: dict[str, Any] = Field(repr=False)


class StartCall(Message):
    """Prepare a call. Its RTP and RTCP sockets come along; answer with CallReady or CallRefused."""

    kind: Literal["StartCall"] = "StartCall"
    call_id: str
    route: dict[str, Any]
    media: dict[str, Any] | None = Field(repr=False)  # a MediaPlan, None until a late offer is answered
    rate_hz: int
    stream: dict[str, int]  # ssrc, seq, timestamp to start from
    caller: str
    called: str
    parties: dict[str, Any]  # telephony.sip.parties.Parties.facts: who forwarded it, X- headers, ...
    recording: str | None  # path of the stereo WAV, None: nothing is recorded
    folder: str = ""  # the call's, for messages that callers leave; "": there is none
    dtmf: Literal["auto", "rtp", "info", "inband"] = "auto"  # how digits go out on this call's trunk
    state: dict[str, Any] | None = None  # the last checkpoint, when the call goes on after a crash


class CallAnswered(Message):
    """The 200 was sent: packets may leave."""

    kind: Literal["CallAnswered"] = "CallAnswered"
    call_id: str


class CallConfirmed(Message):
    """The ACK came: the agent may speak."""

    kind: Literal["CallConfirmed"] = "CallConfirmed"
    call_id: str


class MediaChanged(Message):
    """A re-INVITE or a late answer changed the media plan."""

    kind: Literal["MediaChanged"] = "MediaChanged"
    call_id: str
    media: dict[str, Any] = Field(repr=False)


class TransferDone(Message):
    """What came of a Transfer. code: SIP status, 0 if none came."""

    kind: Literal["TransferDone"] = "TransferDone"
    call_id: str
    ok: bool
    code: int
    reason: str


class HoldDone(Message):
    """What came of a Hold. ok: the far side agreed."""

    kind: Literal["HoldDone"] = "HoldDone"
    call_id: str
    ok: bool


class ConsultRinging(Message):
    """The consultation call rings. code: 180-199."""

    kind: Literal["ConsultRinging"] = "ConsultRinging"
    call_id: str
    consult: int
    code: int


class ConsultAnswered(Message):
    """Somebody picked up the consultation call. Its RTP and RTCP sockets come along."""

    kind: Literal["ConsultAnswered"] = "ConsultAnswered"
    call_id: str
    consult: int
    media: dict[str, Any] = Field(repr=False)  # a MediaPlan
    rate_hz: int
    stream: dict[str, int]  # ssrc, seq, timestamp to start from
    recording: str | None  # path of a stereo WAV, None: nothing is recorded


class ConsultMediaChanged(Message):
    """A re-INVITE changed the media plan of the consultation call."""

    kind: Literal["ConsultMediaChanged"] = "ConsultMediaChanged"
    call_id: str
    consult: int
    media: dict[str, Any] = Field(repr=False)


class ConsultEnded(Message):
    """The consultation call is over, or could not be had. code: SIP status; by: caller, callee, us, network or plan."""

    kind: Literal["ConsultEnded"] = "ConsultEnded"
    call_id: str
    consult: int
    by: str
    code: int
    reason: str


class HandOverDone(Message):
    """What came of a HandOver. If it is not ok both calls stand."""

    kind: Literal["HandOverDone"] = "HandOverDone"
    call_id: str
    consult: int
    ok: bool
    code: int
    reason: str


class QueueReady(Message):
    """It is this call's turn in the queue that it waits in."""

    kind: Literal["QueueReady"] = "QueueReady"
    call_id: str


class EndCall(Message):
    """The call is over: close the recording, answer CallFinished."""

    kind: Literal["EndCall"] = "EndCall"
    call_id: str
    reason: str


class PressKey(Message):
    """A digit that came by SIP INFO."""

    kind: Literal["PressKey"] = "PressKey"
    call_id: str
    digit: str


class Ping(Message):
    """Are you alive? sent: the switch's loop time, comes back in the Load."""

    kind: Literal["Ping"] = "Ping"
    sent: float


class Stop(Message):
    """No more calls will come; leave."""

    kind: Literal["Stop"] = "Stop"


# ---------------------------------------------------------------- worker → switch


class WorkerReady(Message):
    """The worker can take calls."""

    kind: Literal["WorkerReady"] = "WorkerReady"
    pid: int


class WorkerFailed(Message):
    """The worker cannot take calls as it was configured; it leaves. reason: place, fact and remedy."""

    kind: Literal["WorkerFailed"] = "WorkerFailed"
    reason: str


class Rehearsed(Message):
    """The worker can play the new plan; or it cannot, for this reason."""

    kind: Literal["Rehearsed"] = "Rehearsed"
    number: int
    reason: str = ""


class CallReady(Message):
    """The agent is ready to speak: answer the call."""

    kind: Literal["CallReady"] = "CallReady"
    call_id: str


class CallRefused(Message):
    """The agent cannot take the call."""

    kind: Literal["CallRefused"] = "CallRefused"
    call_id: str
    code: int
    reason: str


class CallEvent(Message):
    """Something happened in the conversation: one journal line (pipeline.events.dump)."""

    kind: Literal["CallEvent"] = "CallEvent"
    call_id: str
    event: dict[str, Any]


class Checkpoint(Message):
    """What another worker would need to go on with this call."""

    kind: Literal["Checkpoint"] = "Checkpoint"
    call_id: str
    state: dict[str, Any]


class HangUp(Message):
    """The agent ends the call; what it had to say was heard."""

    kind: Literal["HangUp"] = "HangUp"
    call_id: str
    reason: str


class Transfer(Message):
    """The agent sends the caller elsewhere (REFER)."""

    kind: Literal["Transfer"] = "Transfer"
    call_id: str
    target: str


class Consult(Message):
    """The agent wants to speak to somebody about this call first. consult: counted from 1 in a call; an earlier one is
    ended. ring_s: how long it may ring."""

    kind: Literal["Consult"] = "Consult"
    call_id: str
    consult: int
    target: str
    ring_s: float


class ConsultJoined(Message):
    """Caller and consultation hear each other: when one of the two calls ends, the other does too."""

    kind: Literal["ConsultJoined"] = "ConsultJoined"
    call_id: str
    consult: int


class HandOver(Message):
    """Have the far sides connect the two calls without us (REFER with Replaces). HandOverDone follows."""

    kind: Literal["HandOver"] = "HandOver"
    call_id: str
    consult: int


class EndConsult(Message):
    """Hang up the consultation call, or ring no longer. ConsultEnded follows unless it was over."""

    kind: Literal["EndConsult"] = "EndConsult"
    call_id: str
    consult: int
    reason: str


class Hold(Message):
    """The agent asks the caller to wait, or is back (re-INVITE). HoldDone follows."""

    kind: Literal["Hold"] = "Hold"
    call_id: str
    on: bool


class QueueUp(Message):
    """The call waits until fewer than `places` others of that queue are served. QueueReady follows. 0: no longer."""

    kind: Literal["QueueUp"] = "QueueUp"
    call_id: str
    queue: str
    places: int


class SendDigits(Message):
    """The agent presses keys, on a call whose trunk wants them by INFO."""

    kind: Literal["SendDigits"] = "SendDigits"
    call_id: str
    pii_digits: str


class CallFinished(Message):
    """The last of a call: sockets are closed here, the recording is complete. media: a report in plain values."""

    kind: Literal["CallFinished"] = "CallFinished"
    call_id: str
    media: dict[str, Any] = Field(repr=False)


class Load(Message):
    """Once a second. cpu: share of one core. late_p99_ms: packets against their 20 ms grid, of the last second."""

    kind: Literal["Load"] = "Load"
    calls: int
    cpu: float
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    skipped_ticks: int
    memory_bytes: int
    tasks: int
    resting: int = 0  # providers that are left alone because they fail
    answers: float = 0.0  # `sent` of the last Ping


ToWorker = Annotated[
    Configure | Rehearse | StartCall | CallAnswered | CallConfirmed | MediaChanged | TransferDone | HoldDone
    | ConsultRinging | ConsultAnswered | ConsultMediaChanged | ConsultEnded | HandOverDone | QueueReady
    | EndCall | PressKey | Ping | Stop,
    Field(discriminator="kind"),
]  # fmt: skip
ToSwitch = Annotated[
    WorkerReady
    | WorkerFailed
    | Rehearsed
    | CallReady
    | CallRefused
    | CallEvent
    | Checkpoint
    | HangUp
    | Transfer
    | Consult
    | ConsultJoined
    | HandOver
    | EndConsult
    | Hold
    | QueueUp
    | SendDigits
    | CallFinished
    | Load,
    Field(discriminator="kind"),
]

_QUIET = ConfigDict(hide_input_in_errors=True)  # media plans hold keys
TO_WORKER: TypeAdapter[Any] = TypeAdapter(ToWorker, config=_QUIET)
TO_SWITCH: TypeAdapter[Any] = TypeAdapter(ToSwitch, config=_QUIET)


class LinkError(Exception):
    """The other end sent what this version does not understand, or takes nothing any more."""


class Link:
    """One end of a link. on_message(message, fds) and on_closed(error) are called on the loop.

    The receiver owns the descriptors it is handed and closes them.
    """

    def __init__(
        self,
        sock: socket.socket,
        reads: TypeAdapter[Any],
        on_message: Callable[[Any, list[int]], None],
        on_closed: Callable[[Exception | None], None],
    ) -> None:
        self._sock, self._reads = sock, reads
        self._on_message, self._on_closed = on_message, on_closed
        self._loop = asyncio.get_running_loop()
        self._in = bytearray()
        self._fds: deque[int] = deque()
        self._out: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._waiting_bytes = 0
        self._open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Queue a message. The descriptors must stay open until it has left: at once, unless the peer is slow."""
        if not self._open:
            return
        line = message.model_copy(update={"fds": len(fds)}).model_dump_json().encode() + b"\n"
        self._out.append((memoryview(line), tuple(fds)))
        self._waiting_bytes += len(line)
        if len(self._out) == 1:
            self._writable()
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._fail(LinkError(f"the peer has not read for {self._waiting_bytes} bytes. Restart it."))

    def close(self) -> None:
        """Close this end; on_closed is not called."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            while self._fds:
                os.close(self._fds.popleft())

    def _readable(self) -> None:
        try:
            data, fds, flags, _ = socket.recv_fds(self._sock, READ_BYTES, MAX_FDS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        self._fds.extend(fds)
        if flags & socket.MSG_CTRUNC:
            self._fail(
                LinkError("descriptors were cut off on the way. Raise the open-files limit (ulimit -n).")
            )
            return
        if not data:
            self._fail(None)
            return
        self._in += data
        self._take_lines()

    def _take_lines(self) -> None:
        while self._open and (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end])
            del self._in[: end + 1]
            try:
                message = self._reads.validate_json(line)
            except ValueError as error:
                self._fail(LinkError(f"not a link message: {line[:80]!r} ({error})"))
                return
            fds = [self._fds.popleft() for _ in range(message.fds)]
            self._on_message(message, fds)

    def _writable(self) -> None:
        while self._out:
            data, fds = self._out[0]
            try:
                sent = self._send(data, fds)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError as error:
                self._fail(error)
                return
            self._waiting_bytes -= sent
            if sent < len(data):
                self._out[0] = (data[sent:], ())  # the descriptors left with the first byte
            else:
                self._out.popleft()
        self._loop.remove_writer(self._sock)

    def _send(self, data: memoryview, fds: tuple[int, ...]) -> int:
        if not fds:
            return self._sock.send(data)
        return socket.send_fds(self._sock, [data], fds)

    def _fail(self, error: Exception | None) -> None:
        if self._open:
            self.close()
            self._on_closed(error)

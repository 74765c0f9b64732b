"""What the switch and its workers say to each other: typed messages. How they get there is wire.py's business."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    """One line on the link. fds: how many descriptors came with it. seq: its number on that link, of a worker's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fds: int = 0
    seq: int = 0


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

    @property
    def plan(self) -> int:
        """A number for these agents, which another switch can compare."""
        return crc32(json.dumps(self.agents, sort_keys=True, default=str).encode())


class Rehearse(Message):
    """A new dial plan is about to be used: make its agents once. Rehearsed follows. number: of this rehearsal."""

    kind: Literal["Rehearse"] = "Rehearse"
    number: int
    agents: dict[str, Any] = Field(repr=False)


class StartCall(Message):
    """Prepare a call. Its RTP and RTCP sockets and its vitals come along; answer with CallReady or CallRefused.

    resumes: it has been answered, and a worker that had it is gone: let packets flow at once, then talk on. confirmed:
    and the ACK has come. holding: the far side was asked to wait. joined: the caller talks to a colleague, whose line
    follows as ConsultAnswered; no agent is wanted. consults: how many colleagues were called. takeovers: how many
    workers it has outlived."""

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
    state: str = Field(default="", repr=False)  # the last checkpoint, when the call goes on after a crash
    history: list[str] = Field(default=[], repr=False)  # its messages, each as JSON
    resumes: bool = False
    confirmed: bool = False
    holding: bool = False
    joined: bool = False
    consults: int = 0
    takeovers: int = 0


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
    """Somebody picked up the consultation call. Its RTP and RTCP sockets and its vitals come along. joined: they talk
    to the caller already, and the worker that had both is gone."""

    kind: Literal["ConsultAnswered"] = "ConsultAnswered"
    call_id: str
    consult: int
    media: dict[str, Any] = Field(repr=False)  # a MediaPlan
    rate_hz: int
    stream: dict[str, int]  # ssrc, seq, timestamp to start from
    recording: str | None  # path of a stereo WAV, None: nothing is recorded
    dtmf: Literal["auto", "rtp", "info", "inband"] = "auto"  # how digits go out on its trunk
    joined: bool = False


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


class Adopt(Message):
    """Another switch is here. What the one before has not dealt with is said again; Adopted follows."""

    kind: Literal["Adopt"] = "Adopt"


class CallStands(Message):
    """How a call stands, as the signalling has it: another switch says so of each, for the one before may not have."""

    kind: Literal["CallStands"] = "CallStands"
    call_id: str
    media: dict[str, Any] | None = Field(repr=False)
    answered: bool
    confirmed: bool


class HandIn(Message):
    """Save what you know of your calls and leave at once: others go on with them."""

    kind: Literal["HandIn"] = "HandIn"


class LetGo(Message):
    """Another worker will have this call: as soon as nobody would notice, save it and let go of it. CallLeft follows.

    patience_s: how long to wait for a pause in the conversation. No tool, consultation or transfer is broken off,
    however long it takes."""

    kind: Literal["LetGo"] = "LetGo"
    call_id: str
    patience_s: float


class SayGoodbye(Message):
    """The server stops: tell the caller so, and hang up. HangUp follows."""

    kind: Literal["SayGoodbye"] = "SayGoodbye"
    call_id: str
    reason: str


class Stop(Message):
    """No more calls will come; leave."""

    kind: Literal["Stop"] = "Stop"


# ---------------------------------------------------------------- worker → switch


class WorkerReady(Message):
    """The worker can take calls. notes: what the operator should know, in one line: keys that are missing."""

    kind: Literal["WorkerReady"] = "WorkerReady"
    pid: int
    notes: str = ""


class Adopted(Message):
    """After Adopt, when everything has been said again: the calls that this worker has. ready: it can take calls."""

    kind: Literal["Adopted"] = "Adopted"
    pid: int
    calls: list[str]
    ready: bool


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
    """What another worker would need to go on with this call. The switch keeps it and does not read it.

    state: JSON, without the messages of the history: the first `kept` of those that were sent stay, `added` follow,
    each as JSON. A long conversation costs no more than a short one."""

    kind: Literal["Checkpoint"] = "Checkpoint"
    call_id: str
    state: str = Field(repr=False)
    kept: int
    added: list[str] = Field(repr=False)


class Notice(Message):
    """What a caller hears from the switch itself when no worker may have the call: sound, once for each language and
    codec. payload: base64, as it goes into packets one after the other."""

    kind: Literal["Notice"] = "Notice"
    language: str
    codec: str
    payload: str = Field(repr=False)


class CallLeft(Message):
    """This worker has let go of a call: no packet of it will leave from here, and its checkpoint is the last one."""

    kind: Literal["CallLeft"] = "CallLeft"
    call_id: str


class LoopBlocked(Message):
    """Some code kept the clock of all calls here waiting. call_id: whose it was, "" if that cannot be told. over: it
    is past, and this is how long it took; else it is still at it. stack: where it was, innermost line last."""

    kind: Literal["LoopBlocked"] = "LoopBlocked"
    call_id: str
    blocked_ms: int
    over: bool
    stack: str


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
    """The agent presses keys, on a call whose trunk wants them by INFO. consult: its number, 0 for the caller's."""

    kind: Literal["SendDigits"] = "SendDigits"
    call_id: str
    pii_digits: str
    consult: int = 0


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
    | EndCall | PressKey | Ping | Adopt | CallStands | HandIn | LetGo | SayGoodbye | Stop,
    Field(discriminator="kind"),
]  # fmt: skip
ToSwitch = Annotated[
    WorkerReady
    | Adopted
    | WorkerFailed
    | Rehearsed
    | CallReady
    | CallRefused
    | CallEvent
    | Checkpoint
    | Notice
    | CallLeft
    | LoopBlocked
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

"""A second call about the first: the switch dials somebody who may take the caller over, for the call's worker.

One at a time for each call; the caller's own leg is reception.py's. Whom may be dialled is decided here, by what the
plan's author wrote and what the caller's trunk allows. The conversation and its sound are the worker's."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import structlog

from offhook.access_settings import TrunkSettings
from offhook.link import (
    Consult,
    ConsultAnswered,
    ConsultEnded,
    ConsultJoined,
    ConsultMediaChanged,
    ConsultRinging,
    EndConsult,
    HandOver,
    HandOverDone,
    Message,
    SendDigits,
)
from offhook.switch.ledger import Line
from offhook.switch.trunks import way_out
from telephony.call.call import Call
from telephony.call.events import CallEvent, Ended, MediaChanged, Ringing
from telephony.call.state import Leg
from telephony.call.transfer import TransferOutcome
from telephony.dialplan.number import normalise, parse_pattern
from telephony.errors import CallFailed, NotAllowed, SipSyntaxError, TelephonyError
from telephony.media.vitals import Vitals
from telephony.sip.uri import Uri
from telephony.trunk.outbound import Dialling, WayOut, dialling, redirects, require_allowed

log = structlog.get_logger()

_NUMBER = re.compile(r"\+?[0-9]+")
NEWS_S = 20.0  # of calls that the far sides were connecting when another switch died
DIALLING_S = 5.0  # beyond the ringing: for addresses that do not answer at all


class Dial(Protocol):
    """Places a call; telephony.phone.Phone.dial is it."""

    def __call__(
        self,
        target: str | Sequence[str],
        *,
        caller: str,
        headers: Sequence[tuple[str, str]],
        credentials: Any,
        timeout: float,
        listen: Callable[[CallEvent], None],
        redirect: Any,
        trunk: str,
    ) -> Coroutine[Any, Any, Call]: ...


class Caller(Protocol):
    """The call that all this is about, with its worker and record; reception.ActiveCall is it."""

    @property
    def call(self) -> Call:
        """The caller's leg."""

    @property
    def id(self) -> str: ...
    def tell(self, message: Message, fds: Sequence[int] = ()) -> None: ...
    def journal(self, event: dict[str, Any]) -> None: ...
    def transferred(self, target: str) -> None:
        """The caller talks to somebody else now: that is what the record will say."""

    def consultation_wav(self, number: int) -> Path | None:
        """Where the sound of a consultation is recorded."""

    def keep(self) -> None:
        """Its line is another one now: write down for another switch what there is."""

    def note(self) -> None:
        """Write down where it stands."""

    colleague: Vitals | None  # of the line that the caller is joined to
    line: Line | None  # the one that was answered


@dataclass(slots=True, eq=False)
class Consultation:
    """One call to somebody about a caller. call: once it is answered. dtmf: how digits go out to them."""

    caller: Caller
    number: int
    target: str
    began: float
    call: Call | None = None
    task: asyncio.Task[None] | None = None
    dtmf: Literal["auto", "rtp", "info", "inband"] = "auto"
    vitals: Vitals | None = None
    stream: dict[str, int] = field(default_factory=dict)
    rate_hz: int = 0
    joined: bool = False
    handing: bool = False  # the far sides are connecting the calls without us
    over: bool = False

    def dump(self) -> dict[str, Any]:
        plain = ("number", "target", "began", "dtmf", "stream", "rate_hz", "joined", "handing")
        call = self.call.snapshot() if self.call is not None else None
        return {**{name: getattr(self, name) for name in plain}, "call": call}

    @property
    def fds(self) -> list[int]:
        pair = self.call.rtp if self.call is not None else None
        if pair is None or self.vitals is None:
            return []
        return [self.vitals.fd, pair.rtp.fileno(), pair.rtcp.fileno()]


class Consulting:
    """The consultations of all calls, by the id of the caller's call."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._going: dict[str, Consultation] = {}

    def heard(
        self, caller: Caller, message: Message, trunk: TrunkSettings | None, written: Collection[str]
    ) -> None:
        """A worker wants something of a consultation. written: targets in the plan's `transfer_to`."""
        if isinstance(message, Consult):
            self._begin(caller, message, trunk, written)
            return
        going = self._going.get(caller.id)
        if going is None or going.number != getattr(message, "consult", 0):
            return
        match message:
            case EndConsult():
                self._hang_up(going, message.reason)
            case ConsultJoined():
                self._joined(going)
            case SendDigits() if going.call is not None:
                self._spawn(going, self._send_digits(going, going.call, message.pii_digits))
            case HandOver() if going.call is not None:
                self._spawn(going, self._hand_over(going, going.call))

    def drop(self, caller_id: str) -> None:
        """The caller's call is over."""
        if (going := self._going.pop(caller_id, None)) is not None:
            self._hang_up(going, "the caller has left")

    def worker_lost(self, caller_id: str) -> None:
        """Nobody speaks to the colleague any more. Caller and colleague who hear each other stay together."""
        going = self._going.get(caller_id)
        if going is not None and not going.joined and not going.handing:
            del self._going[caller_id]
            self._hang_up(going, "the agent was lost")

    def worker_found(self, caller_id: str) -> None:
        """Another worker has the caller's call: it gets the colleague's too."""
        going = self._going.get(caller_id)
        if going is not None and going.joined and going.call is not None:
            self._lend(going, going.call)

    def changed(self, call: Call) -> None:
        """Where the leg to a colleague stands has changed, and what it says of that has not left yet."""
        for going in self._going.values():
            if going.call is call:
                going.caller.note()

    def take_up(self, caller: Caller, saved: Mapping[str, Any], call: Call, vitals: Vitals) -> None:
        """A line that a switch before us had, as `Consultation.dump` says. The worker has it still."""
        plain = {name: value for name, value in saved.items() if name != "call"}
        going = Consultation(caller, call=call, vitals=vitals, **plain)
        self._going[caller.id] = going
        caller.line, caller.colleague = going, vitals if going.joined else None
        call.listen(lambda event: self._signalled(going, event))

    def stands(self, caller: Caller) -> None:
        """Tell the worker how the line stands. One that only rang when the switch before us died is over."""
        going = self._going.get(caller.id)
        if going is None or going.call is None:
            return
        if going.call.leg is Leg.OVER:
            self._over(going, "callee", 200, "hung up")
        elif (plan := going.call.plan) is not None:
            media = plan.dump()
            caller.tell(ConsultMediaChanged(call_id=caller.id, consult=going.number, media=media))
            if going.handing:
                news = caller.call.transfer_news(patience_s=NEWS_S)
                self._spawn(going, self._handed(going, going.call, news))

    def line(self, caller_id: str) -> tuple[Call, Vitals] | None:
        """The colleague's leg of that call and the vitals of its stream, while a worker has them."""
        going = self._going.get(caller_id)
        if going is None or going.over or going.handing or going.call is None or going.vitals is None:
            return None
        return going.call, going.vitals

    # ------------------------------------------------------------ from dialling to the end

    def _begin(
        self, caller: Caller, wanted: Consult, trunk: TrunkSettings | None, written: Collection[str]
    ) -> None:
        if (before := self._going.get(caller.id)) is not None:
            self._hang_up(before, "another consultation")
        going = Consultation(caller, wanted.consult, wanted.target, self._loop.time())
        self._going[caller.id] = going
        caller.journal({"type": "ConsultStarted", "consult": going.number, "target": going.target})
        try:
            out = way_to(wanted.target, trunk, written)
        except TelephonyError as error:
            log.warning("consultation_refused", call_id=caller.id, pii_reason=str(error))
            self._over(going, "plan", error.code or 500, str(error))
            return
        if trunk is not None and out.trunk == trunk.name:
            going.dtmf = trunk.dtmf
        self._spawn(going, self._ring(going, out, wanted.ring_s))

    async def _ring(self, going: Consultation, out: Dialling, ring_s: float) -> None:
        try:
            async with asyncio.timeout(ring_s + DIALLING_S):
                call = await self._dial(
                    out.targets,
                    caller=out.caller,
                    headers=out.headers,
                    credentials=out.credentials,
                    timeout=ring_s,
                    listen=lambda event: self._rang(going, event),
                    redirect=out.redirect,
                    trunk=out.trunk,
                )
        except TimeoutError:
            self._over(going, "us", 408, f"not answered within {ring_s:g} s")
        except CallFailed as error:
            self._over(going, "callee", error.code, str(error))
        except TelephonyError as error:
            self._over(going, "network", error.code or 500, str(error))
        else:
            self._answered(going, call)

    def _rang(self, going: Consultation, event: CallEvent) -> None:
        if isinstance(event, Ringing) and not going.over:
            going.caller.tell(ConsultRinging(call_id=going.caller.id, consult=going.number, code=event.code))

    def _answered(self, going: Consultation, call: Call) -> None:
        going.call = call
        call.listen(lambda event: self._signalled(going, event))
        if call.leg is Leg.OVER:
            self._over(going, "callee", 487, "hung up at once")
        elif going.over:
            call.hang_up("nobody waits for it")
        elif call.rtp is None or call.plan is None:
            self._hang_up(going, "answered without sound")
        else:
            took_ms = round((self._loop.time() - going.began) * 1000, 1)
            going.caller.journal({"type": "ConsultAnswered", "consult": going.number, "setup_ms": took_ms})
            going.stream = {
                "ssrc": secrets.randbits(32),
                "seq": secrets.randbits(15),
                "timestamp": secrets.randbits(32),
            }
            going.rate_hz = call.plan.rate_hz
            try:
                going.vitals = Vitals.create()
            except OSError as error:
                self._hang_up(going, f"no memory for another call: {error}")
                return
            self._lend(going, call)

    def _lend(self, going: Consultation, call: Call) -> None:
        """Give the line to the caller's worker."""
        caller, pair, plan, vitals = going.caller, call.rtp, call.plan, going.vitals
        if pair is None or plan is None or vitals is None:
            return
        recording = caller.consultation_wav(going.number)
        answered = ConsultAnswered(
            call_id=caller.id,
            consult=going.number,
            media=plan.dump(),
            rate_hz=going.rate_hz,
            stream=going.stream,
            recording=str(recording) if recording is not None else None,
            dtmf=going.dtmf,
            joined=going.joined,
        )
        caller.line = going
        caller.keep()
        caller.tell(answered, [pair.rtp.fileno(), pair.rtcp.fileno(), vitals.fd])

    def _signalled(self, going: Consultation, event: CallEvent) -> None:
        if going.over:
            return
        if isinstance(event, MediaChanged):
            changed = event.plan.dump()
            going.caller.tell(
                ConsultMediaChanged(call_id=going.caller.id, consult=going.number, media=changed)
            )
        elif isinstance(event, Ended):
            self._over(going, event.by, event.code, event.reason)

    def _joined(self, going: Consultation) -> None:
        """Caller and human talk. It may be that the human has just left."""
        going.joined, going.caller.colleague = True, going.vitals
        going.caller.note()
        going.caller.journal({"type": "ConsultJoined", "consult": going.number, "target": going.target})
        going.caller.transferred(going.target)

    async def _send_digits(self, going: Consultation, call: Call, digits: str) -> None:
        try:
            await call.send_digits(digits)
        except TelephonyError as error:
            log.warning("digits_refused", call_id=going.caller.id, consult=going.number, error=str(error))

    async def _hand_over(self, going: Consultation, call: Call) -> None:
        going.handing = True
        going.caller.note()
        await self._handed(going, call, going.caller.call.transfer_to(call))

    async def _handed(self, going: Consultation, call: Call, news: Awaitable[TransferOutcome]) -> None:
        caller = going.caller
        try:
            outcome = await news
        except TelephonyError as error:
            ok, code, reason = False, error.code, str(error)
        else:
            ok, code, reason = outcome.ok, outcome.code, outcome.reason
        going.handing = False
        caller.tell(HandOverDone(call_id=caller.id, consult=going.number, ok=ok, code=code, reason=reason))
        if ok:
            self._joined(going)
            call.hang_up("transferred")
            caller.call.hang_up("transferred")

    def _hang_up(self, going: Consultation, reason: str) -> None:
        if going.task is not None and going.call is None:
            going.task.cancel()  # Phone.dial sends the CANCEL, or a BYE if the answer crossed it
        self._over(going, "us", 487 if going.call is None else 200, reason)
        if going.call is not None:
            going.call.hang_up(reason)

    def _over(self, going: Consultation, by: str, code: int, reason: str) -> None:
        """Nobody is at the other end any more. Whoever was joined to them has nobody to talk to either."""
        if going.over:
            return
        going.over = True
        caller = going.caller
        caller.colleague = None
        if going.vitals is not None:
            going.vitals.close()
        if self._going.get(caller.id) is going:
            del self._going[caller.id]
        ended = {"consult": going.number, "by": by, "code": code, "reason": reason}
        if caller.line is going:
            caller.line = None
            caller.keep()
        caller.journal({"type": "ConsultEnded", **ended})
        caller.tell(ConsultEnded(call_id=caller.id, consult=going.number, by=by, code=code, reason=reason))
        if going.joined:
            caller.call.hang_up("the other side has left")

    def _spawn(self, going: Consultation, work: Coroutine[Any, Any, None]) -> None:
        going.task = self._loop.create_task(work, name=f"consultation of {going.caller.id}")


def way_to(target: str, trunk: TrunkSettings | None, written: Collection[str]) -> Dialling:
    """How to dial somebody for a call of that trunk, None for a stranger's.

    target: a number, or a SIP URI. written: what the plan's author named; everything else must fit the trunk's
    `allowed`, for what a caller talks an agent into must not cost money. Raises NotAllowed, and SipSyntaxError for
    what can be dialled nowhere."""
    known, is_uri = target in written, target.lower().startswith(("sip:", "sips:"))
    if trunk is None:
        if not known:
            raise NotAllowed(f"{target!r} is not in `transfer_to`, and the call came over no trunk.")
        if not is_uri:
            fact = f"{target!r} is a number, and the call came over no trunk."
            raise SipSyntaxError(f"{fact} Write a SIP address in `transfer_to`.", code=404)
        return Dialling((target,), "", (), None, "")
    way = _with(way_out(trunk), target) if known else way_out(trunk)
    if not is_uri:
        if not trunk.host:
            fact = f"trunk {trunk.name} has no host to dial {target!r} at."
            raise SipSyntaxError(f"{fact} Add `host:`, or write a SIP address in `transfer_to`.", code=404)
        return dialling(way, Uri.parse(target).number if ":" in target else target)
    if trunk.host and Uri.parse(target).host.lower() == way.host.lower():
        if not known:
            require_allowed(way, target)
        shown = f"sip:{way.caller}@{way.host}" if way.caller else ""
        return Dialling((target,), shown, way.headers, way.credentials, trunk.name, redirects(way))
    if not known:
        raise NotAllowed(f"{target!r} is at a stranger's host. Name it in `transfer_to`, or dial a number.")
    return Dialling((target,), "", (), None, trunk.name)


def _with(way: WayOut, target: str) -> WayOut:
    """The number that the plan's author wrote, and no pattern, may be dialled as well."""
    number = normalise(Uri.parse(target).number if ":" in target else target)
    if not _NUMBER.fullmatch(number):
        return way
    return replace(way, allowed=(*way.allowed, parse_pattern(number)))

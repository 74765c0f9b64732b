"""Calls that change their leg: follows a REFER, lets an INVITE with Replaces take a leg over, ends the old one.

Part of phone.py, which hands in its calls and its `dial`. What the call does with its new leg is call/moving.py's,
who may replace what call/replaces.py's, and where a call may be sent the user's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from telephony.call import replaces
from telephony.call.call import Call, hang_up
from telephony.call.events import CallEvent, MovedBy
from telephony.call.line import Line
from telephony.call.referred import Detour
from telephony.errors import SdpError, SipSyntaxError, TelephonyError
from telephony.sip import events as sip
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.headers import ReferTo, Replaces

log = structlog.get_logger(__name__)


class Dial(Protocol):
    """Places the next leg of a call; returns when it stands. Raises TelephonyError."""

    def __call__(
        self, detour: Detour, theirs: Call, listen: Callable[[CallEvent], None]
    ) -> Awaitable[Call]: ...


class OldLeg:
    """A leg that its call has left: its far side may hang up, and after a while we do."""

    def __init__(self, line: Line, dialog: Dialog, patience_s: float) -> None:
        self._line, self._dialog = line, dialog
        self._timer = asyncio.get_running_loop().call_later(patience_s, self.end)
        self.over = False

    def hear(self, event: sip.LegEvent) -> None:
        """What still comes for it."""
        if isinstance(event, sip.PeerHungUp):
            self._done()
        elif isinstance(event, sip.Asked):
            self._line.perform(self._line.stack.respond(event.transaction, 481, self._line.now()))

    def end(self) -> None:
        """BYE, unless it is over."""
        if not self.over:
            self._done()
            hang_up(self._line, self._dialog, "moved to another leg")

    def _done(self) -> None:
        self.over = True
        self._timer.cancel()


class Moves:
    """The legs of one phone that take the place of others.

    refer: asked where a call goes that its far side refers elsewhere; a SIP status refuses it. None refuses all:
    who follows every REFER can be made to dial numbers that cost money. patience_s: how long whoever referred us
    may take to hang up before we do."""

    def __init__(self, line: Line, calls: dict[LegKey, Call], dial: Dial) -> None:
        self.refer: Callable[[Call, ReferTo], Detour | int] | None = None
        self.patience_s = 4.0
        self._line, self._calls, self._dial = line, calls, dial
        self._following: dict[LegKey, asyncio.Task[None]] = {}
        self._old: dict[LegKey, OldLeg] = {}
        self._past = replaces.Past()

    # ---- as a call sees it (call/line.py)

    def detour(self, leg: LegKey, to: ReferTo) -> Detour | int:
        """Where that call goes, as the user says it."""
        call = self._calls.get(leg)
        if self.refer is None or call is None:
            return 603
        try:
            return self.refer(call, to)
        except Exception:  # the policy is the user's: its fault must not leave the far side waiting
            log.exception("phone.refer_failed", call=call.id)
            return 500

    def follow(self, leg: LegKey, detour: Detour) -> None:
        """Place that call's next leg."""
        call = self._calls[leg]
        task = asyncio.get_running_loop().create_task(self._follow(call, detour), name=f"refer {call.id}")
        self._following[leg] = task
        task.add_done_callback(lambda done: self._followed(leg, done))

    def moved(self, before: LegKey, now: LegKey, old: Dialog | None, by: MovedBy) -> None:
        """Know the call by its new leg, and end the old one."""
        self._calls[now] = self._calls.pop(before)
        following = self._following.pop(before, None)
        if following is not None and by == "replaces":
            following.cancel()  # somebody was faster than the REFER
        if old is None:
            return
        self._past.note(old)
        if by == "refer":
            self._old[before] = OldLeg(self._line, old, self.patience_s)
        else:
            hang_up(self._line, old, "replaced by another leg")

    # ---- as the phone sees it

    def hear(self, event: sip.LegEvent) -> bool:
        """Something for an old leg; False if it is none."""
        old = self._old.get(event.leg)
        if old is None:
            return False
        old.hear(event)
        if old.over:
            del self._old[event.leg]
        return not isinstance(event, sip.Replied)  # a late 200 must have its ACK all the same

    def hung_up(self, call: Call) -> None:
        """The call is over: nobody needs its next leg."""
        if call.dialog is not None:
            self._past.note(call.dialog)
        if (task := self._following.pop(call.key, None)) is not None:
            task.cancel()

    def close(self) -> None:
        """The phone leaves: end the old legs now."""
        for old in self._old.values():
            old.end()
        self._old.clear()

    def takes_over(self, came: sip.CallCame) -> bool:
        """An INVITE with Replaces: do as it says, or refuse it. False if it is an ordinary one."""
        try:
            wanted = replaces.asked(came.invite.request)
        except SipSyntaxError:
            self._refuse(came, 400)
            return True
        if wanted is None:
            return False
        call = self._calls.get((wanted.call_id, wanted.to_tag))
        if call is None or (code := self._objection(wanted, call, came)):
            gone = self._past.holds(wanted)
            self._refuse(came, code if call is not None else 603 if gone else 481)
            return True
        new = Call.incoming(self._line, came, came.source.remote, call.rtp)
        try:
            new.negotiate()
            new.answer()
        except SdpError as error:
            new.reject(error.code)
        else:
            call.move_to(new, "replaces")
        return True

    # ---- inside

    def _objection(self, wanted: Replaces, call: Call, came: sip.CallCame) -> int:
        """0, or why this INVITE may not have that call."""
        ours = call.direction == "outbound"
        code = replaces.refusal(wanted, call.dialog, call.leg, ours=ours, past=self._past)
        known = call.sender.trunk == came.sender.trunk or call.source[0] == came.source.remote[0]
        return code or (0 if known else 403)  # a trunk has no business with the calls of another

    def _refuse(self, came: sip.CallCame, code: int) -> None:
        self._line.stack.counters.rejected += 1
        self._line.perform(self._line.stack.respond(came.invite, code, self._line.now()))

    async def _follow(self, call: Call, detour: Detour) -> None:
        try:
            new = await self._dial(detour, call, call.heard_on_the_way)
        except TelephonyError as error:
            call.arrived_nowhere(error.code or 500)
        else:
            call.move_to(new, "refer")

    def _followed(self, leg: LegKey, task: asyncio.Task[None]) -> None:
        if self._following.get(leg) is task:
            del self._following[leg]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("phone.refer_failed", sip_call_id=leg[0], exc_info=error)

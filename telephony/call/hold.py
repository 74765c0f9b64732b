"""Media that changes in a standing call: hold, resume, another port or codec, from either side (RFC 3264 §8).

Base of call.py. Driven by re-INVITE, UPDATE and ACK from the wire, and by `hold`/`resume` from the user. A
change that cannot be met is refused with 488 and the old session goes on (RFC 3261 §14.2)."""

from __future__ import annotations

import asyncio

from telephony.call import events
from telephony.call.core import SDP, CallCore
from telephony.errors import OutOfOrder, SdpError
from telephony.sdp.plan import MediaPlan
from telephony.sip.body import find_part
from telephony.sip.endpoint import Headers
from telephony.sip.headers import quote
from telephony.sip.message import Request, Response
from telephony.sip.server_transaction import InviteServer, ServerTransaction

GLARE_TRIES = 4  # how often a re-INVITE is tried that crosses one of theirs
GLARE_WAITS_S = {True: (2.1, 4.0), False: (0.0, 2.0)}  # by whether the Call-ID is ours (RFC 3261 §14.1)


class MediaCall(CallCore):
    """A call whose media can change."""

    async def hold(self) -> None:
        """Ask the far side to wait. Raises SdpError if it refuses; the call then goes on as it was."""
        await self._reoffer(hold=True)

    async def resume(self) -> None:
        """Ask the far side to come back from hold."""
        await self._reoffer(hold=False)

    async def _reoffer(self, *, hold: bool) -> None:
        for _ in range(GLARE_TRIES):
            dialog, agreement = self._standing(), self._agreement
            if agreement is None:
                raise OutOfOrder(f"call {self.id} has no media to hold")
            if not (agreement.waiting or dialog.their_invite or dialog.our_invite):
                response = await self._ask(
                    "INVITE", headers=self._session.offer(), body=agreement.offer(hold)
                )
                if response.status < 300:
                    return
                if response.status != 491:
                    raise SdpError(f"re-INVITE: {response.status} {response.reason}", code=response.status)
            await asyncio.sleep(self._line.between(*GLARE_WAITS_S[dialog.initiator]))
        raise SdpError(f"re-INVITE crossed one of theirs {GLARE_TRIES} times. Try later.", code=491)

    def _reoffer_answered(self, response: Response) -> None:
        """A final response to our re-INVITE, heard before the coroutine that waits for it wakes up."""
        if self._agreement is None or not self._agreement.waiting:
            return
        if response.status >= 300:
            self._agreement.withdraw()
            return
        try:
            self._accept(find_part(response, SDP))
        except SdpError as error:
            self._agreement.withdraw()
            self.hang_up(str(error))  # RFC 3261 §14.1: what they do and what we do would differ

    def hang_up(self, reason: str = "", headers: Headers = ()) -> None:
        """End the call in the way its state wants."""
        raise NotImplementedError

    def _refresh(self) -> None:
        """Say that we are still here: by UPDATE if they take it, else by a re-INVITE that changes nothing (RFC
        4028 §7.4, §8)."""
        line, dialog, agreement = self._line, self._standing(), self._agreement
        if agreement is None or agreement.waiting or dialog.their_invite or dialog.our_invite:
            self._session.refused(line.now())
            return
        method, body = ("UPDATE", b"") if self._takes_update else ("INVITE", agreement.offer())
        _, actions = line.stack.ask(dialog, method, line.now(), headers=self._session.offer(), body=body)
        self._perform(actions)

    def _session_answered(self, method: str, response: Response) -> None:
        """A final response to our INVITE, re-INVITE or UPDATE."""
        if response.status < 300:
            self._session.answered(response, self._line.now())
        else:
            self._takes_update = self._takes_update and not (
                method == "UPDATE" and response.status in (405, 501)
            )
            self._session.refused(self._line.now())
        self._keep_up()

    def _accept(self, answer: bytes | None) -> None:
        """Their answer to our offer. Raises SdpError if it is missing or does not fit."""
        assert self._agreement is not None
        if answer is None:
            raise SdpError("no answer to our offer")
        before = self._agreement.plan
        self._changed(before, self._agreement.accept(answer))

    def _changed(self, before: MediaPlan | None, plan: MediaPlan | None) -> None:
        if plan is not None and plan != before:
            self._tell(events.MediaChanged(plan))

    def _reoffered(self, transaction: ServerTransaction) -> None:
        """Answer their re-INVITE or UPDATE."""
        stack, now = self._line.stack, self._line.now()
        agreement, offer = self._agreement, find_part(transaction.request, SDP)
        is_invite = isinstance(transaction, InviteServer)
        if offer is None and not is_invite:  # an UPDATE that only refreshes (RFC 4028 §7.4)
            headers = self._session.answer(transaction.request, now)
            self._perform(stack.respond(transaction, 200, now, headers=headers))
            self._keep_up()
        elif agreement is None or (code := self._not_now(transaction.request)) == 500:
            self._perform(stack.respond(transaction, 500, now, headers=(("Retry-After", "1"),)))
        elif code:
            self._perform(stack.respond(transaction, code, now))
        else:
            before = agreement.plan
            try:
                body = agreement.offer() if offer is None else agreement.answer(offer)
            except SdpError as error:
                self._perform(stack.respond(transaction, error.code, now, headers=warning(error)))
                return
            headers = self._session.answer(transaction.request, now)
            self._perform(stack.respond(transaction, 200, now, headers=headers, body=body))
            self._keep_up()
            self._changed(before, agreement.plan)

    def _not_now(self, request: Request) -> int:
        """What an offer is refused with that comes at the wrong time, 0 if it is the right one: 500 before the
        first one is answered, 491 while one of ours waits (RFC 3311 §5.2)."""
        if self.plan is None:
            return 500
        return 491 if self._agreement is not None and self._agreement.waiting else 0

    def _answered_by_ack(self, request: Request) -> None:
        """An ACK that must carry the answer to what our 200 offered. Raises SdpError."""
        if self._agreement is not None and self._agreement.waiting:
            try:
                self._accept(find_part(request, SDP))
            finally:
                self._agreement.withdraw()


def warning(error: SdpError) -> Headers:
    """Why, for the person who reads the trace (RFC 3261 §20.43: 399 is free text)."""
    return (("Warning", f"399 offhook {quote(' '.join(str(error).split()))}"),)

"""Sending the far side elsewhere: blind transfer, and attended transfer to another call of ours (RFC 3515, RFC
5589).

Base of moving.py. What a response or NOTIFY means is in transfer.py; who is called is the user's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from telephony.call.events import Ended
from telephony.call.hold import MediaCall
from telephony.call.line import Line
from telephony.call.state import Leg
from telephony.call.transfer import Transfer, TransferOutcome
from telephony.errors import OutOfOrder
from telephony.media.ports import PortPair
from telephony.sip.added import check_added
from telephony.sip.dialog import Dialog, LegKey
from telephony.sip.endpoint import Headers
from telephony.sip.headers import Address, Replaces
from telephony.sip.message import Request
from telephony.sip.uri import Uri

_PLAIN = "-_.!~*'()"  # what need not be escaped in a URI's headers (RFC 3261 §25.1)


class ReferringCall(MediaCall):
    """A call whose far side can be sent elsewhere."""

    def __init__(self, line: Line, key: LegKey, request: Request, source: tuple[str, int], leg: Leg) -> None:
        super().__init__(line, key, request, source, leg)
        self._transfer: Transfer | None = None
        self._transferred: asyncio.Future[TransferOutcome] | None = None

    def snapshot(self) -> dict[str, Any]:
        """As core.py says; with how far a transfer is, None if there is none."""
        return {
            **super().snapshot(),
            "transfer": self._transfer.accepted if self._transfer is not None else None,
        }

    def _go_on(self, saved: Mapping[str, Any], rtp: PortPair | None) -> None:
        super()._go_on(saved, rtp)
        if saved["transfer"] is not None and self.leg is Leg.TALKING:
            self._transfer = Transfer()
            self._transfer.accepted = saved["transfer"]
            self._transferred = asyncio.get_running_loop().create_future()

    async def transfer_news(self, *, patience_s: float) -> TransferOutcome:
        """What comes of a transfer that another process has asked for: from its NOTIFYs, or because they leave."""
        if self._transferred is None:
            return TransferOutcome(False, 500, "nobody knows what became of the transfer")
        return await self._outcome(patience_s)

    async def transfer(
        self, target: str, *, patience_s: float = 60.0, headers: Headers = ()
    ) -> TransferOutcome:
        """Ask the far side to call `target` (URI or bare number) instead of us, and hang up once it does (RFC
        3515).

        Returns how it went; a refusal leaves the call standing. patience_s: how long to wait for the news.
        headers: further lines of the REFER. Raises SipSyntaxError for one that may not be there."""
        check_added(headers)
        dialog = self._standing()
        uri = Uri.parse(target if ":" in target else f"sip:{target}@{Uri.parse(dialog.target).host}")
        return await self._refer(dialog, uri, patience_s, headers)

    async def transfer_to(self, other: MediaCall, *, patience_s: float = 60.0) -> TransferOutcome:
        """Attended transfer: ask the far side to take our place in `other`, a call that stands too (RFC 5589 §7).

        When it has, both calls are ended; if it does not, both stand. Raises OutOfOrder if one does not."""
        dialog, target = self._standing(), other.dialog
        if target is None or other.leg is not Leg.TALKING or other is self:
            raise OutOfOrder(f"call {other.id}: nobody to transfer to, the leg is {other.leg.name}")
        outcome = await self._refer(dialog, replacing(target), patience_s)
        if outcome.ok:
            other.hang_up("transferred")  # unless they have ended it already, as RFC 3891 §3 wants
        return outcome

    async def _refer(
        self, dialog: Dialog, uri: Uri, patience_s: float, headers: Headers = ()
    ) -> TransferOutcome:
        if self._transfer is not None:
            raise OutOfOrder(f"call {self.id} is being transferred already")
        self._transfer = Transfer()
        self._transferred = asyncio.get_running_loop().create_future()
        us = Address.parse(dialog.local).uri
        lines = (("Refer-To", f"<{uri}>"), ("Referred-By", f"<{us}>"), *headers)
        return await self._outcome(patience_s, lines)

    async def _outcome(self, patience_s: float, refer: Headers = ()) -> TransferOutcome:
        """Ask for it, unless that is done, and wait. refer: the lines of the REFER."""
        assert self._transferred is not None
        try:
            async with asyncio.timeout(patience_s):
                if refer:
                    await self._ask("REFER", headers=refer)
                outcome = await self._transferred
        except TimeoutError:
            outcome = TransferOutcome(False, 408, "no news of the transfer")
        finally:
            self._transfer = self._transferred = None
        if outcome.ok:
            self.hang_up("transferred")  # carriers wait in silence for our BYE, some for 32 s
        return outcome

    def _note_transfer(self) -> None:
        if self._transfer is None or self._transfer.outcome is None or self._transferred is None:
            return
        if not self._transferred.done():
            self._transferred.set_result(self._transfer.outcome)

    def _over(self, ended: Ended) -> None:
        if self._transfer is not None:
            self._transfer.gone()
            self._note_transfer()
        super()._over(ended)


def replacing(dialog: Dialog) -> Uri:
    """A URI for Refer-To: whoever calls it takes our place in that dialog of ours (RFC 3891 §4).

    The tags are told as its far side sees them: to-tag is theirs, from-tag ours."""
    wanted = Replaces(dialog.call_id, dialog.remote_tag or "0", dialog.local_tag)
    return replace(Uri.parse(dialog.target), headers=(("Replaces", quote(str(wanted), safe=_PLAIN)),))

"""What an agent asks of its call's leg: a transfer, a hold, keys. Done here, and answered to its worker.

Each is noted in the call until it is done, so that another switch knows what was asked of this one (`go_on`). Driven by
reception.py. Not a consultation (consulting.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final

import structlog

from offhook.access_settings import TrunkSettings
from offhook.link import HoldDone, TransferDone
from offhook.switch.active import ActiveCall
from offhook.switch.routing import transfer_headers, written
from offhook.switch.trunks import way_out
from telephony.call.transfer import TransferOutcome
from telephony.errors import TelephonyError
from telephony.trunk.outbound import require_allowed

log = structlog.get_logger()

NEWS_S: Final = 20.0  # of a transfer that another switch has asked for


class Errands:
    """Of all calls of a switch. trunks: by name."""

    def __init__(self, trunks: Mapping[str, TrunkSettings]) -> None:
        self._trunks = trunks

    async def hold(self, active: ActiveCall, on: bool) -> None:
        """Ask the far side to wait, or to come back."""
        before, active.holding = active.holding, True  # until they are back, another worker has to fetch them
        active.ask("hold" if on else "resume")
        try:
            await (active.call.hold() if on else active.call.resume())
            active.holding = on
        except TelephonyError as error:
            active.holding = before
            log.warning("hold_refused", call_id=active.id, on=on, error=str(error))
            active.tell(HoldDone(call_id=active.id, ok=False))
        else:
            active.tell(HoldDone(call_id=active.id, ok=True))
        active.ask("")

    async def send_digits(self, active: ActiveCall, digits: str) -> None:
        """Press keys by INFO."""
        try:
            await active.call.send_digits(digits)
        except TelephonyError as error:
            log.warning("digits_refused", call_id=active.id, error=str(error))

    async def transfer(self, active: ActiveCall, target: str) -> None:
        """Send the caller elsewhere, and leave if that comes about."""
        try:
            self._require_allowed(active, target)
        except TelephonyError as error:
            active.tell(TransferDone(call_id=active.id, ok=False, code=error.code, reason=str(error)))
            return
        headers = transfer_headers(active.route, target)
        await self._transfer(active, target, active.call.transfer(target, headers=headers))

    async def go_on(self, active: ActiveCall) -> None:
        """What was asked of another switch: a hold is asked for again, for that may be done twice; of a transfer the
        news is waited for."""
        what, target = active.asked
        if what in ("hold", "resume"):
            await self.hold(active, what == "hold")
        elif what == "transfer":
            await self._transfer(active, target, active.call.transfer_news(patience_s=NEWS_S))

    async def _transfer(self, active: ActiveCall, target: str, news: Awaitable[TransferOutcome]) -> None:
        active.ask("transfer", target)
        try:
            outcome = await news
        except TelephonyError as error:
            active.tell(TransferDone(call_id=active.id, ok=False, code=error.code, reason=str(error)))
            active.ask("")
            return
        active.tell(TransferDone(call_id=active.id, ok=outcome.ok, code=outcome.code, reason=outcome.reason))
        if outcome.ok:
            active.transferred(target)
            active.call.hang_up("transferred")
        active.ask("")

    def _require_allowed(self, active: ActiveCall, target: str) -> None:
        """A transfer over a trunk goes where the plan's author sends it, or to a number that the trunk may
        dial: what a caller talks an agent into must not cost money. Raises NotAllowed."""
        trunk = self._trunks.get(active.call.sender.trunk)
        if trunk is not None and target not in written(active.route):
            require_allowed(way_out(trunk), target)

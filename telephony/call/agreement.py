"""What the two sides of a call have agreed to send: offers, answers, and the plan in force (RFC 3264).

Pure. Driven by call.py. Not the rules (sdp/negotiate.py): this remembers what was said last, so that the o=
line counts right and a refused change leaves the old plan standing (§8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from telephony.errors import SdpError
from telephony.sdp import negotiate
from telephony.sdp.description import Sdp
from telephony.sdp.negotiate import LocalMedia
from telephony.sdp.plan import MediaPlan


class Agreement:
    """Offer and answer of one leg.

    plan: None until both sides have spoken. held: we want the far side to wait."""

    def __init__(self, local: LocalMedia) -> None:
        self.local = local
        self.plan: MediaPlan | None = None
        self.held = False
        self._said: Sdp | None = None  # our last description, whoever began
        self._open: tuple[Sdp, bool] | None = (
            None  # our offer that has no answer yet, and the hold it asks for
        )

    def snapshot(self) -> dict[str, Any]:
        """Plain values for `restore`, keys included."""
        return {
            "local": {**asdict(self.local), "keys": dict(self.local.keys)},
            "plan": self.plan.dump() if self.plan is not None else None,
            "held": self.held,
            "said": self._said.encode() if self._said is not None else "",
            "open": [self._open[0].encode(), self._open[1]] if self._open is not None else None,
        }

    @classmethod
    def restore(cls, saved: Mapping[str, Any]) -> Self:
        """The agreement that `snapshot` described."""
        local = saved["local"]
        agreement = cls(LocalMedia(**{**local, "codecs": tuple(local["codecs"])}))
        agreement.plan = MediaPlan.load(saved["plan"]) if saved["plan"] is not None else None
        agreement.held = saved["held"]
        agreement._said = Sdp.parse(saved["said"]) if saved["said"] else None
        if saved["open"] is not None:
            agreement._open = Sdp.parse(saved["open"][0]), saved["open"][1]
        return agreement

    @property
    def waiting(self) -> bool:
        """An offer of ours is not answered yet."""
        return self._open is not None

    def offer(self, hold: bool | None = None) -> bytes:
        """Our offer. hold: ask them to wait (True) or come back (False); None leaves it as it is."""
        wanted = self.held if hold is None else hold
        ours = self._number(negotiate.offer(self.local, hold=wanted, previous=self._said, standing=self.plan))
        self._open = ours, wanted
        return ours.encode().encode()

    def answer(self, offer: bytes) -> bytes:
        """Our answer to their offer; the plan changes. Raises SdpError and changes nothing if it cannot be
        met."""
        ours, plan = negotiate.answer(self.local, Sdp.parse(offer), hold=self.held)
        self.plan = plan
        return self._number(ours).encode().encode()

    def accept(self, answer: bytes) -> MediaPlan:
        """Their answer to our offer. Raises SdpError, and drops the offer, if it does not fit."""
        if self._open is None:
            raise SdpError("an answer came without an offer of ours.")
        (ours, hold), self._open = self._open, None
        self.plan = negotiate.accept(self.local, ours, Sdp.parse(answer))
        self.held = hold
        return self.plan

    def preview(self, answer: bytes) -> MediaPlan:
        """Their answer in a 18x: the plan of early media, while the offer stays open for the 200."""
        still = self._open
        try:
            return self.accept(answer)
        finally:
            self._open = still

    def settle(self) -> None:
        """The plan in force is what our open offer came to."""
        if self._open is not None:
            self.held, self._open = self._open[1], None

    def withdraw(self) -> None:
        """Our offer was refused; the plan in force stays."""
        self._open = None

    def _number(self, ours: Sdp) -> Sdp:
        self._said = negotiate.numbered(ours, self._said)
        return self._said

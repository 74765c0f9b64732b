"""A phone call without a phone: it notes what the agent does to the call, and answers as it was told to."""

from __future__ import annotations

from pipeline.options import ThinkingSound
from pipeline.ports import Consultation, TransferResult
from pipeline.session import Session


class FakePhone:
    """The CallControl of a test.

    To be set: transfer_result, what a transfer comes to; comes_back, whether the caller's phone agrees to `resume`;
    recorded, whether there is a recording; colleague, who answers when the agent asks somebody, None if the line is
    busy. To be read: hung_up (why the agent hung up, "" if it did not), transfers
    (their targets), dialled (the keys it sent), control (hold, resume, recording, consultations, messages, in order),
    thinking (the sound that it plays while it thinks, "" for none).
    """

    def __init__(self) -> None:
        self.transfer_result = TransferResult(True, 200)
        self.comes_back = self.recorded = True
        self.hung_up = self.dialled = self.thinking = ""
        self.transfers: list[str] = []
        self.colleague: Consultation | None = None
        self.control: list[str] = []
        self._talk: Session | None = None

    def connect(self, session: Session) -> None:
        """The conversation that ends when the agent hangs up."""
        self._talk = session

    def hang_up(self, reason: str) -> None:
        self.hung_up = reason
        if self._talk is not None:
            self._talk.close(reason)

    async def transfer(self, target: str) -> TransferResult:
        self.transfers.append(target)
        return self.transfer_result

    async def consult(self, target: str, ring_s: float) -> Consultation | TransferResult:
        self.control.append(f"consult {target}")
        return TransferResult(False, 486, "Busy Here") if self.colleague is None else self.colleague

    def start_message(self) -> str:
        self.control.append("beep")
        return "message-1.wav" if self.recorded else ""

    def end_message(self) -> float:
        self.control.append("message over")
        return 7.0

    def send_digits(self, digits: str) -> None:
        self.dialled += digits

    async def hold(self) -> bool:
        self.control.append("hold")
        return True

    async def resume(self) -> bool:
        self.control.append("resume")
        return self.comes_back

    def think(self, sound: ThinkingSound | None) -> None:
        self.thinking = sound.sound if sound is not None else ""

    def pause_recording(self) -> bool:
        self.control.append("pause recording")
        return self.recorded

    def resume_recording(self) -> bool:
        self.control.append("resume recording")
        return self.recorded

"""An agent that books appointments with typed tasks. Run it:

.venv/bin/offhook serve --dialplan examples/booking.yaml
.venv/bin/offhook call sip:100@127.0.0.1:5060 --wait-for-silence
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time

from pipeline.agent.agent import Agent
from pipeline.agent.tasks import AskChoice, AskMoment, AskPhoneNumber, AskYesNo, TaskFailed, TaskGroup

TREATMENTS = {"check up": 30, "cleaning": 45, "filling": 60}  # as callers say them → minutes


@dataclass(frozen=True)
class Appointment:
    """What is booked. phone: E.164."""

    minutes: int
    when: datetime
    phone: str

    def plain(self) -> dict[str, str | int]:
        """For userdata, which is part of the call's checkpoints: plain values only."""
        return {"minutes": self.minutes, "when": self.when.isoformat(), "phone": self.phone}


class Booking(Agent):
    """Asks for everything, reads it back, books it."""

    def __init__(self) -> None:
        super().__init__(instructions="You book appointments. Say nothing about other things.")

    async def on_enter(self) -> None:
        """Tasks are awaited like any other coroutine. Each returns its value, or raises TaskFailed."""
        self.session.say("Booking line.")
        again = True
        while again:
            try:
                appointment = await self.appointment().run(self.session)
            except TaskFailed as failed:
                why = "All right." if failed.why in ("declined", "cancelled") else "I am sorry."
                self.session.say(f"{why} Nothing is booked.")
            else:
                self.session.userdata["appointment"] = appointment.plain()
                self.session.say(f"You are booked for {appointment.when:%A, %B} {appointment.when.day}.")
            again = await self._another()
        self.session.say("Goodbye.")
        self.session.end_call("agent_hung_up")

    async def _another(self) -> bool:
        try:
            return await AskYesNo("Would you like to book another appointment?").run(self.session)
        except TaskFailed:
            return False

    def appointment(self) -> TaskGroup[Appointment]:
        """The three questions, in order; callers may go back to any of them."""
        return TaskGroup(
            Appointment,
            minutes=lambda: AskChoice("Do you need a {choices}?", TREATMENTS, label="treatment"),
            when=lambda: AskMoment(
                "On which day would you like to come, and at what time?",
                opens=time(9),
                closes=time(17),
                label="day",
            ),
            phone=AskPhoneNumber,
        )

"""An agent that calls people and knows a machine when it hears one: what a line's signals mean for a call.

offhook serve --dialplan examples/ringback.yaml
offhook call sip:400@127.0.0.1:5060"""

from __future__ import annotations

from pipeline.agent.agent import Agent

GREETING = "Good morning, this is the garage. Your car is ready."
MESSAGE = "This is the garage. Your car is ready. You can fetch it until six o'clock."
NOBODY = ("busy", "reorder", "sit", "fax_cng", "fax_ced")  # no person will ever hear us on such a line


class Caller(Agent):
    """Tells people that their car is ready; leaves a message behind the beep of an answering machine."""

    def __init__(self) -> None:
        super().__init__(instructions="You call customers of a garage. Be brief.", greeting=GREETING)

    async def on_tone(self, kind: str) -> None:
        """busy, reorder, sit, beep, fax_cng, fax_ced: see docs/agents.md."""
        if kind == "beep":
            self.session.interrupt(force=True)
            self.session.say(MESSAGE, allow_interruptions=False)
            self.session.end_call("message_left")
        elif kind in NOBODY:
            self.session.end_call(f"nobody_there_{kind}")

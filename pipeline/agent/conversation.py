"""What an agent and its tools may do in their call. `pipeline.session.Session` is the one implementation."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

from pipeline.agent.history import History
from pipeline.events import MessageTaken
from pipeline.hearing.expectation import Expectation
from pipeline.mouth import NORMAL
from pipeline.ports import TransferResult
from pipeline.speaking.clip import Clip


class SpeechHandle(Protocol):
    """Something the agent is saying or about to say. `await handle` waits until it was heard or cut off."""

    @property
    def interrupted(self) -> bool: ...
    async def wait_for_playout(self) -> None:
        """Until the last packet has left, or the caller interrupted. Cancelling the wait stops no speech."""

    def interrupt(self) -> None:
        """Stop it now, or before it begins."""

    def done(self) -> bool:
        """Was it heard to its end, or cut off?"""

    def __await__(self) -> Generator[Any, None, None]: ...


class Conversation(Protocol):
    """The call, as its agent sees it."""

    history: History
    userdata: Any

    def say(
        self,
        text: str | Clip,
        *,
        allow_interruptions: bool | None = None,
        priority: int = NORMAL,
        add_to_history: bool = True,
    ) -> SpeechHandle:
        """Say this, after what is being said now. text: for the voice, or a recording of it.

        allow_interruptions: False for what must be heard in full; None: as the agent's turn handling has it.
        priority: HIGH goes before, LOW after other speech that waits (mouth.py)."""

    def generate_reply(
        self, instructions: str = "", *, allow_interruptions: bool | None = None, priority: int = NORMAL
    ) -> SpeechHandle:
        """Ask the model for something to say. instructions: for this one answer only."""

    def interrupt(self, *, force: bool = False) -> None:
        """Stop speaking now. What was not heard is not in the history. force: also what may not be interrupted."""

    def expect(self, expectation: Expectation | None) -> None:
        """What the caller has been asked for: the turn ends when that is complete, and waits while it is not."""

    async def refresh(self) -> None:
        """The agent has changed: have its ears, its language and its manners. `Agent.update` calls it."""

    def mask_keys(self, masked: bool) -> None:
        """What the caller keys in and says from now on is secret: it is in no event, history, log or prompt. Only the
        agent's own `on_keys` and `on_user_turn_completed` get it."""

    async def run_task(self, task: Any) -> Any:
        """Let an AgentTask talk to the caller until it has its result; `task.run(session)` says it with types."""

    def hand_over(self, agent: Any) -> None:
        """Let another agent talk, once what is being said was heard; a tool returns it instead. Raises ToolError if
        they pass the caller round and round."""

    def end_call(self, reason: str) -> None:
        """Hang up as soon as everything that is being said was heard."""

    async def transfer(
        self,
        target: str,
        *,
        attended: bool = False,
        briefing: str = "",
        ring_s: float = 25.0,
        release: bool = False,
        fallback: str = "none",
    ) -> TransferResult:
        """Send the caller elsewhere, once everything that is being said was heard. Returns when they talk there, or
        when the caller is back from hold with the reason.

        target: SIP or tel URI, or a number. attended: speak to them first; briefing: in these words, "" for the
        model's. ring_s, release, fallback: see ports.Destination."""

    async def take_message(self, max_s: float = 120.0, silence_s: float = 4.0) -> MessageTaken | None:
        """Once everything that is being said was heard: a beep, then the caller's message goes into a file of its own,
        until they are silent for so long, press `#`, hang up, or `max_s` is over. None: it cannot be recorded."""

    def send_digits(self, digits: str) -> None:
        """Press keys: 0-9 A-D * #; `w` waits 0.5 s, `W` 1 s, a comma 2 s."""

    async def hold(self, *, until_answered: bool = False) -> None:
        """Once everything that is being said was heard, let the caller wait: they hear music, nobody listens.

        until_answered: `resume` by itself when the agent has said what it says now. What is said on hold is heard.
        """

    async def resume(self) -> bool:
        """Back to the caller. False if their phone would not agree: try again."""

    def pause_recording(self) -> bool:
        """Keep what is said from here on out of the recording, which stays as long. False: nothing is recorded."""

    def resume_recording(self) -> bool:
        """Record again. False: nothing is recorded."""

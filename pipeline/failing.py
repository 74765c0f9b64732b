"""What callers are told and where they go when a recogniser, a model or a voice fails.

Driven by session.py, listening.py and speeches.py, which count the failures. Standing in for a failed provider is
providers/resilient's business: this is for when nobody stands in."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.canned import lines
from pipeline.errors import ProviderError
from pipeline.events import ProviderFailed
from pipeline.stage import Stage


class Failing:
    """The failures of one call. apology: said after one, "" for a line in the agent's language. on_failure: where to
    send a caller whom we cannot serve, "" for nowhere. ending: is the call being hung up already?"""

    def __init__(self, stage: Stage, apology: str, on_failure: str, ending: Callable[[], bool]) -> None:
        self._stage, self._apology, self._on_failure, self._ending = stage, apology, on_failure, ending

    def ears(self, error: ProviderError, gave_up: bool) -> None:
        """The recogniser failed. gave_up: too often."""
        stage = self._stage
        stage.emit(ProviderFailed(stage.now(), error.provider, "stt", error.cause, str(error)))
        if gave_up:
            self.give_up("stt_failed")

    def apologise(self) -> None:
        """An answer could not be made."""
        self._stage.conversation.say(self._apology or lines(self._stage.agent.voice.language).apology)

    def give_up(self, reason: str) -> None:
        """A provider has failed too often: somebody else serves the caller, or they are told, and hung up."""
        stage = self._stage
        if self._on_failure and stage.tasks is not None:
            target, self._on_failure = self._on_failure, ""
            stage.tasks.create_task(self._send_on(target, reason), name="send on")
        elif not self._ending():
            failed = lines(stage.agent.voice.language).failed
            stage.conversation.say(failed, allow_interruptions=False)
            stage.conversation.end_call(reason)

    async def _send_on(self, target: str, reason: str) -> None:
        stage = self._stage
        if fillers := lines(stage.agent.voice.language).fillers:
            stage.conversation.say(fillers[0], allow_interruptions=False)
        if not (await stage.conversation.transfer(target)).ok:
            self.give_up(reason)

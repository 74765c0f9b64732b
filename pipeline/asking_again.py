"""A caller who says nothing, and what the agent does about it.

Driven by session.py, once a frame. When it is the caller's turn is decided here; how long a silence may be, silence.py
knows."""

from __future__ import annotations

from pipeline.canned import lines
from pipeline.events import CallerSilent
from pipeline.silence import Due
from pipeline.stage import Stage
from pipeline.turn import Floor

MAYBE_NOISE = (Floor.CALLER_SPEAKING, Floor.MAYBE_DONE, Floor.COMMITTED)
SILENT = "The caller has said nothing for a while. Ask, in a few words, whether they are still there."


class AskingAgain:
    """The silences of one call."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def look(self, now: float, *, otherwise_busy: bool, in_task: bool) -> None:
        """Is it the caller's turn, and do they say nothing? otherwise_busy: nobody listens, or the call is ending.
        in_task: a task talks, and the tool that waits for it does no work."""
        stage, patience = self._stage, self._stage.patience
        if stage.turn.floor in MAYBE_NOISE:
            return  # if it brings words, an answer follows; if not, nobody has said anything
        if (
            otherwise_busy
            or stage.turn.floor is not Floor.LISTENING
            or stage.speeches is None
            or stage.speeches.talking
            or (stage.tools is not None and stage.tools.running and not in_task)
        ):
            patience.not_waiting()
            return
        patience.waiting(now)
        due = patience.due(now)
        if due is not None:
            self._ask(due, now)

    def _ask(self, due: Due, now: float) -> None:
        stage, patience = self._stage, self._stage.patience
        silence, canned = patience.options, lines(stage.agent.voice.language)
        stage.emit(CallerSilent(now, patience.asked, gave_up=due is Due.GIVE_UP))
        if due is Due.GIVE_UP and stage.agent.on_silence():
            return
        if due is Due.GIVE_UP:
            if goodbye := canned.goodbye if silence.goodbye is None else silence.goodbye:
                stage.conversation.say(goodbye)
            stage.conversation.end_call("caller_silent")
        elif ask := self._question(silence.ask, canned.still_there):
            stage.conversation.say(ask)
        else:
            stage.conversation.generate_reply(SILENT)

    def _question(self, general: str | None, canned: str) -> str:
        """Of the agent, which may have asked something else since it entered; "" if the model is to find it."""
        own = self._stage.agent.silence.get("ask", general)
        return canned if own is None else str(own)

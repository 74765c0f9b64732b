"""What the caller said, made into turns that get an answer; also answers made before a turn is certainly over.

Driven by session.py. Who has the floor is turn.py's business, what was understood listening.py's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.agent.history import Message
from pipeline.agent.tools import StopResponse
from pipeline.delays import ResponseClock
from pipeline.events import CallerPartlyHeard, NothingHeard, RecogniserUsed, TurnTooLong, UserTurnCommitted
from pipeline.hearing.backchannel import is_backchannel, may_become_backchannel
from pipeline.hearing.keys import KeyEntry
from pipeline.hearing.progress import Progress
from pipeline.listening import Utterance
from pipeline.ports import FRAME_MS, Frame, Partial, TurnModel
from pipeline.replying import Reply
from pipeline.stage import Stage
from pipeline.turn import Floor, MoreToCome, NothingSaid, ReplyOver, Understood, WordsOver

MODEL_HEARS_S = 8.0  # of the newest sound
LOST_S = 0.3  # so much speech was more than a click: if it never became words, the caller is told
LATE_YES_S = 1.0  # a "yes" over the last words of a question is its answer
TICK_S = 0.02
NOT_THE_CALLERS = (Floor.THINKING, Floor.SPEAKING, Floor.DUCKED, Floor.PAUSED)
HIDDEN = "•"  # in the place of a secret key


class Answering:
    """One call's turns of the caller. masked: keys and words are secret now."""

    def __init__(self, stage: Stage, committed: Callable[[], None]) -> None:
        """committed: told of every turn."""
        self.masked = False
        self._committed = committed
        self._stage, self._model = stage, stage.services.turn_model
        self._keys = KeyEntry(stage.options.keys_timeout_ms / 1000)
        self._partial = Partial("")
        self._decided = 0.0  # loop time of the last end of turn
        self._owed = False  # the agent was cut short: an answer is due even if no words come
        self._carried = ""  # words said before the turn that is going on now
        self._kept = ""  # words said over speech that could not be interrupted
        self._nodded = (float("-inf"), "")  # when a listening noise was heard over the agent, and which
        self._sound: deque[Frame] = deque(maxlen=round(MODEL_HEARS_S * 1000) // FRAME_MS)

    @property
    def unanswered(self) -> str:
        """Words of the caller that have not become a turn yet."""
        return f"{self._kept} {self._carried}".strip()

    def go_on(self, unanswered: str) -> None:
        """Words that another process has heard."""
        self._carried = unanswered

    # ------------------------------------------------------------ what comes in

    def remember(self, frame: Frame) -> None:
        """20 ms of the caller, for a model that listens to the end of turns."""
        if self._model is not None:
            self._sound.append(frame)

    def partly_heard(self, partial: Partial) -> None:
        """The recogniser's guess so far."""
        stage, now = self._stage, self._stage.now()
        self._partial = partial
        stage.emit(CallerPartlyHeard(now, self._shown(partial.text)))
        stage.turn.heard(f"{self._carried} {partial.text}".strip(), partial.complete)
        if stage.turn.floor in (Floor.DUCKED, Floor.PAUSED):
            enough = len(partial.text.split()) >= stage.turn.options.interrupt_words
            listening = self._only_listens(partial.text)
            undecided = may_become_backchannel(partial.text, stage.agent.voice.language)
            if partial.text and (enough or undecided):
                stage.happened(WordsOver(not (listening or undecided)), now)
        elif stage.turn.floor is Floor.MAYBE_DONE:
            self._think_ahead()
        stage.happened(None, now)

    def began(self) -> None:
        """A turn begins: nothing of it is known."""
        self._partial = Partial("")
        if self._stage.speeches is not None:
            self._stage.speeches.new_turn()

    def maybe_done(self) -> None:
        """The caller fell silent: perhaps it is time to think of an answer."""
        self._think_ahead()
        if self._model is not None and self._stage.tasks is not None:
            self._stage.tasks.create_task(self._vote(self._model, self._partial.text), name="turn model")

    def ended(self, now: float) -> None:
        """The turn was declared over; the recogniser's last word follows."""
        self._decided = now

    def interrupted(self) -> None:
        """The caller took the floor from the agent, and is owed an answer."""
        self._owed = True

    def heard(self, said: Utterance) -> None:
        """The recogniser's last word of a turn, or of what was said over the agent."""
        stage, now = self._stage, self._stage.now()
        self._partial = Partial("")
        if said.overlap:
            self._over_agent(said, now)
        elif stage.turn.floor in (Floor.CALLER_SPEAKING, Floor.MAYBE_DONE):
            self._carried = f"{self._carried} {said.text}".strip()  # they went on: it is one turn
        elif said.text or self._carried:
            self._turn_is(f"{self._carried} {said.text}".strip(), said, now)
        elif stage.turn.caller_speaks:
            self._exceeded(now)
        elif self._owed:
            self._answer_anyway(now)
        elif said.lost and self._spoke_for() >= LOST_S:
            self._commit("", False, 0.0, now)
        else:
            stage.emit(NothingHeard(now, "no words"))
            stage.happened(NothingSaid(), now)

    def reply_over(self, reply: Reply) -> None:
        """A speech has ended: words said over one that could not be interrupted, and a yes that came before its
        question was all said, get their answer now."""
        now, (at, nodded) = self._stage.now(), self._nodded
        kept, self._kept = self._kept, ""
        if not kept and reply.asks and now - at <= LATE_YES_S:
            kept = nodded
        self._nodded = (float("-inf"), "")
        if not kept:
            return
        if self._stage.turn.floor is not Floor.LISTENING:  # they are speaking again: it is one turn
            self._carried = f"{kept} {self._carried}".strip()
            return
        self._decided = now
        self._commit(kept, True, 1.0, now)

    def typed(self, text: str, now: float) -> None:
        """The caller wrote a whole turn."""
        self._decided = now
        self._commit(text, True, 1.0, now, by="text")

    # ------------------------------------------------------------ keys

    def key(self, digit: str, now: float) -> None:
        """The caller pressed a key."""
        meaning = self._stage.agent.keys.get(digit)
        if meaning is not None and self._keys.empty:
            self._decided = now
            self._commit(meaning, True, 1.0, now, by="keys")
            return
        expected = self._stage.turn.endpointing.expectation
        self._keys.timeout_s = self._stage.turn.options.keys_timeout_ms / 1000
        self._keys.press(digit, now, enough=expected.at_most if expected is not None else 0)

    def keys_due(self, now: float) -> None:
        """Is an entry complete?"""
        keys = self._keys.take(now)
        if not keys:
            return
        self._decided = now
        if self._stage.agent.on_keys(keys):
            return
        self._commit(keys, True, 1.0, now, by="keys")

    # ------------------------------------------------------------ turns

    def _turn_is(self, text: str, said: Utterance, now: float) -> None:
        """These are its words, unless they tell that there are more to come: only now we know them."""
        turn = self._stage.turn
        if said.text and said.understood and turn.floor is Floor.COMMITTED:
            turn.heard(text, None)
            if now < turn.spoke_until + turn.endpointing.delay_s() - TICK_S:
                self._carried = text
                self._stage.happened(MoreToCome(), now)
                return
        if said.text:
            self._commit(text, said.understood, said.confidence, now)
        else:
            self._commit(text, True, 1.0, now)

    def _over_agent(self, said: Utterance, now: float) -> None:
        stage = self._stage
        floor = stage.turn.floor
        if not (said.text and said.understood) and not self._carried:
            self._nothing_over_agent(said, now)
            return
        text, self._carried = f"{self._carried} {said.text}".strip(), ""
        if floor in NOT_THE_CALLERS and self._only_listens(text):
            self._nodded = now, text
            stage.emit(NothingHeard(now, "backchannel"))
            stage.happened(NothingSaid(), now)
        elif stage.turn.protected:
            if stage.turn.options.uninterruptible_words == "keep":
                self._kept = f"{self._kept} {text}".strip()
        elif stage.turn.caller_speaks or floor in (Floor.MAYBE_DONE, Floor.COMMITTED):
            self._carried = text
            stage.happened(WordsOver(True), now)
        else:
            self._commit(text, True, said.confidence, now)

    def _nothing_over_agent(self, said: Utterance, now: float) -> None:
        """Nothing was understood of what was said over the agent. Was it speech?"""
        turn = self._stage.turn
        speech = bool(said.text) or said.lost
        if speech and not turn.protected and self._spoke_for() >= turn.options.interrupt_surely_ms / 1000:
            self._commit("", False, 0.0, now)
            return
        self._stage.emit(NothingHeard(now, "no words"))
        self._stage.happened(NothingSaid(), now)

    def _spoke_for(self) -> float:
        turn = self._stage.turn
        return turn.spoke_until - turn.spoke_since

    def _answer_anyway(self, now: float) -> None:
        """The agent was interrupted but no words came: answer what is open, or say that nothing was understood."""
        last = self._stage.history.messages[-1] if self._stage.history.messages else None
        if last is not None and last.role == "user":
            self._owed = False
            self._stage.happened(Understood(), now)
            self._stage.queue(self._stage.reply())
        else:
            self._commit("", False, 0.0, now)

    def _exceeded(self, now: float) -> None:
        """The line was noisy for too long, and there were no words in it."""
        stage = self._stage
        stage.happened(NothingSaid(), now)
        if stage.tasks is not None:
            stage.tasks.create_task(stage.agent.on_user_turn_exceeded(""), name="turn too long")

    def too_long(self, now: float) -> None:
        """The turn has gone on for as long as it may."""
        self._stage.emit(TurnTooLong(now, round(now - self._stage.turn.spoke_since, 1)))

    def _commit(
        self, text: str, understood: bool, confidence: float, now: float, *, by: str = "voice"
    ) -> None:
        """The caller's turn is complete: it is on record and gets an answer."""
        stage = self._stage
        self._owed, self._carried = False, ""
        self._committed()
        if stage.asked_once:
            stage.turn.endpointing.expectation, stage.asked_once = None, False
        stage.happened(Understood(), now)
        clock = ResponseClock(stage.turn.spoke_until, self._decided, max(now, self._decided))
        waited_ms = round((clock.decided - clock.spoke_until) * 1000, 1)
        stt_ms = round((clock.understood - clock.decided) * 1000, 1)
        masked = self.masked
        stage.emit(
            UserTurnCommitted(
                now,
                self._shown(text),
                understood,
                round(confidence, 3),
                clock.spoke_until,
                waited_ms,
                stt_ms,
                by,
            )
        )
        self.count(now)
        message = Message("user", text, now, understood=understood)
        if type(stage.agent).on_user_turn_completed is Agent.on_user_turn_completed:
            self._answer(replace(message, text=self._shown(text)), clock)
        elif stage.tasks is not None:
            stage.tasks.create_task(self._ask_agent(message, clock, masked), name="on_user_turn_completed")

    def count(self, now: float) -> None:
        """Say how much sound was recognised since the last turn."""
        for provider, seconds in self._stage.listening.used().items():
            self._stage.emit(RecogniserUsed(now, provider, seconds))

    def _shown(self, text: str) -> str:
        """What others than the agent itself may know of the caller's words."""
        return HIDDEN if self.masked and text else text

    def _only_listens(self, text: str) -> bool:
        """Is it a listening noise, and not the answer to what was asked? A "yes" may be either."""
        stage = self._stage
        language, expected = stage.agent.voice.language, stage.turn.endpointing.expectation
        if expected is not None and expected.progress(text, language) is Progress.COMPLETE:
            return False
        return is_backchannel(text, language)

    async def _ask_agent(self, message: Message, clock: ResponseClock, masked: bool) -> None:
        """The agent's own code sees the turn first, once; it may add to it, or want no answer."""
        stage = self._stage
        known = len(stage.history.messages)
        try:
            changed = await stage.agent.on_user_turn_completed(stage.history, message)
        except StopResponse:
            stage.history.add(replace(message, text=HIDDEN) if masked else message)
            stage.save()
            stage.happened(ReplyOver(), stage.now())
            return
        if (changed is not message or len(stage.history.messages) != known) and stage.speeches is not None:
            stage.speeches.drop_ahead()  # it was made without knowing that
        if changed is message and masked:
            changed = replace(message, text=HIDDEN)
        self._answer(changed, clock)

    def _answer(self, message: Message, clock: ResponseClock) -> None:
        stage = self._stage
        if stage.speeches is None:
            return
        stage.history.add(message)
        stage.save()
        if not message.understood and stage.heeds_doubt:  # what was made ahead took the words for certain
            stage.speeches.drop_ahead()
        if stage.speeches.adopt(message.text, clock) is None:
            stage.queue(stage.reply(clock=clock))

    # ------------------------------------------------------------ ahead of time

    def _think_ahead(self) -> None:
        """The words so far may be all: have an answer made, to be heard only if they are."""
        stage, options = self._stage, self._stage.turn.options
        words = f"{self._carried} {self._partial.text}".strip()
        if self.masked or not options.preemptive or stage.speeches is None or self._partial.complete is False:
            return
        if stage.speeches.wants_ahead(words, options.preemptive_tries):
            message = Message("user", words, stage.now())
            reply = stage.reply(ahead_of=message, sound_ahead=options.preemptive_tts)
            stage.speeches.make_ahead(words, reply)

    async def _vote(self, model: TurnModel, words: str) -> None:
        stage = self._stage
        sound = np.concatenate(self._sound) if self._sound else np.zeros(0, np.int16)
        probability = await model.probability(sound, stage.out.rate_hz, words, stage.agent.voice.language)
        if words == self._partial.text:
            stage.turn.voted(probability)
            stage.happened(None, stage.now())

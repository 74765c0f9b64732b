"""Asking for one thing: question, answer, read-back, confirmation, other words, and an end when it cannot be had.

What all ready-made tasks share. The caller's words are read by rules first (parse.py, when.py), which takes no time and
no model. What the rules do not understand goes to the language model, which calls `record`, `confirm` or `decline`;
where there is none that can talk freely (the `scripted` one), the question is asked again in other words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from pipeline.agent.agent import Agent
from pipeline.agent.history import History, Message
from pipeline.agent.task import AgentTask, TaskFailed
from pipeline.agent.tasks import parse
from pipeline.agent.tasks.wording import asked_back, in_language
from pipeline.agent.tools import StopResponse, function_tool
from pipeline.errors import ToolError
from pipeline.hearing.expectation import Expectation
from pipeline.hearing.numerals import words_of
from pipeline.ports import Llm

T = TypeVar("T")
By: TypeAlias = Literal["voice", "keys"]

SORRY = "Sorry, I did not get that."
CONFIRM_AGAIN = "Please say yes or no."
CONFIRMING = Expectation("yes_no", at_most=1)  # one key is enough: 1 is yes, 2 is no
REFUSALS = ("i'd rather not", "never mind", "cancel")

HOW = """\
You are on the phone and need one thing from the caller: {what}. Nothing else is your business now.
Call `record` as soon as you have it, exactly as the caller gave it; never make it up and do not read it back: that is
done for you. If the caller says that what was read back is right, call `confirm`; if it is wrong, ask for it again.
If the caller would rather not say it, call `decline`. Answer questions about it in one short sentence, then ask again.
"""


@dataclass(frozen=True, slots=True)
class More:
    """Part of the answer is there. question: for the rest of it. expectation: what the rest looks like."""

    question: str
    expectation: Expectation | None = None


@dataclass(frozen=True, slots=True)
class Wrong:
    """It was understood and cannot be taken. reason: one sentence for the caller."""

    reason: str


class GoBack(TaskFailed):
    """The caller wants to talk about another task of the group. text: their words."""

    def __init__(self, topic: str, text: str) -> None:
        super().__init__(f"The caller wants to change the {topic}.")
        self.topic, self.text = topic, text


class Ask(AgentTask[T], Generic[T]):
    """One question. Derive it: `read` turns words into a value, `read_keys` keys, `read_back` says a value.

    question, again: how it is asked first, and when that did not help, in turn. confirm: read the answer back and ask
    whether it is right; None: what was said, not what was keyed in. tries: so many answers that cannot be taken or were
    not right, then TaskFailed. check: a reason why a value cannot be taken, None if it can. keys_timeout_s: the pause
    that ends an entry. label: what callers call it. The rest: see Agent.
    """

    label = "answer"  # what it is about, in the caller's words
    what = ""  # for the language model
    takes_keys = False
    confirms = True  # what was said, unless `confirm` says otherwise
    cancel_words = True

    def __init__(
        self,
        question: str,
        *,
        again: Sequence[str] = (),
        confirm: bool | None = None,
        tries: int = 3,
        check: Callable[[T], str | None] | None = None,
        keys_timeout_s: float | None = None,
        phrases: Iterable[str] = (),
        instructions: str = "",
        turn_handling: dict[str, Any] | None = None,
        silence: dict[str, Any] | None = None,
        label: str = "",
        **options: Any,
    ) -> None:
        self.label = label or self.label
        handling: dict[str, Any] = {"preemptive": False}  # rules answer at once
        if keys_timeout_s is not None:
            handling["keys_timeout_ms"] = round(keys_timeout_s * 1000)
        super().__init__(
            instructions=HOW.format(what=self.what or self.label) + instructions,
            phrases=(*phrases, "{yes_no}", *REFUSALS),
            turn_handling=handling | (turn_handling or {}),
            silence={"ask": question} | (silence or {}),
            **options,
        )
        if self.masked:  # a model that is not told the words has nothing to record
            self.tools.pop("record", None)
        self.question, self.again = question, tuple(again) or (question,)
        self.topics: dict[str, tuple[str, ...]] = {}  # of the group it is in: name → what callers call it
        self.opening = ""  # words in which the answer may be already
        self._confirm, self._tries, self._check = confirm, tries, check
        self._missed = 0
        self._asks: Any = None  # of whoever says nothing
        self._pending: T | None = None
        self._confirming = False

    def sent_by(self, asker: Agent, llm: Llm | None) -> None:
        super().sent_by(asker, llm)
        if isinstance(ask := self.silence.get("ask"), str):
            self.silence["ask"] = self.worded(ask)
        self._asks = self.silence.get("ask")

    # ------------------------------------------------------------ for those who derive it

    def worded(self, text: str) -> str:
        """In the agent's language, if it is a sentence of ours (wording.py)."""
        return in_language(text, self.voice.language)

    def read(self, text: str) -> T | More | Wrong | None:
        """What these words mean. None: not an answer. More: so far so good."""
        raise NotImplementedError

    def read_keys(self, keys: str) -> T | More | Wrong | None:
        """What these keys mean, 0-9 and A-D."""
        return None

    def read_back(self, value: T) -> str:
        """One sentence and a question, to be answered with yes or no."""
        return asked_back(value)

    def forget(self) -> None:
        """The caller begins anew: parts of an answer do not count."""

    def offer(self, reading: T | More | Wrong | None) -> str:
        """The model has understood something: take it. For `record`. Raises ToolError, StopResponse."""
        if reading is None:
            raise ToolError(f"That is not a {self.label}. Ask the caller again.")
        if isinstance(reading, More):
            return f"Noted. Ask: {self.worded(reading.question)}"
        if (reason := self._refused(reading)) is not None:
            raise ToolError(f"{self.worded(reason)} Tell the caller and ask again.")
        self._take(cast("T", reading), "voice")
        raise StopResponse

    # ------------------------------------------------------------ what the model may call

    @function_tool
    def confirm(self) -> None:
        """The caller says that what was read back is right."""
        if not self._confirming:
            raise ToolError("Nothing was read back yet. Call record first.")
        self.complete(cast("T", self._pending))
        raise StopResponse

    @function_tool
    def decline(self, reason: str) -> None:
        """The caller would rather not say it.

        reason: in a few words."""
        self.fail(f"The caller would rather not say the {self.label}: {reason}", "declined")
        raise StopResponse

    # ------------------------------------------------------------ the dialogue

    async def on_enter(self) -> None:
        """Ask, unless the answer is there already."""
        if self.masked:
            self.session.pause_recording()
        if not (self.opening and self._took(self.read(self.opening), "voice")):
            self._say(self.question, self.expectation)

    async def on_exit(self) -> None:
        if self.masked:
            self.session.resume_recording()

    async def on_user_turn_completed(self, history: History, message: Message) -> Message:
        """Rules first; the message goes on to the model only if they do not know what to do."""
        if self.result.done() or self.heard(message.text if message.understood else ""):
            raise StopResponse
        if self._free and not self.masked and self._missed < 2 * self._tries:
            self._missed += 1
            return message
        self._miss(SORRY)
        raise StopResponse

    def heard(self, text: str) -> bool:
        """The caller's words. False: the rules do not know what to do with them."""
        if not text.strip():
            self._miss(SORRY)
        elif (topic := self._other_topic(text)) is not None:
            self.fail(GoBack(topic, text))
        elif self.cancel_words and parse.cancels(text):
            self.fail(f"The caller does not want to give the {self.label} any more.", "cancelled")
        elif self._confirming:
            return self._confirmed(text)
        elif parse.declines(text):
            self.fail(f"The caller would rather not say the {self.label}.", "declined")
        else:
            return self._took(self.read(text), "voice")
        return True

    def on_keys(self, keys: str) -> bool:
        """`*` begins anew; while an answer is read back, 1 is yes and 2 is no."""
        keys = keys.rpartition("*")[2] if "*" in keys else keys
        if self.result.done():
            return True
        if keys in ("", "#"):
            self._begin_anew()
            self._say(self._other_words(), self.expectation)
        elif self._confirming and keys == "1":
            self.complete(cast("T", self._pending))
        elif self._confirming and keys == "2":
            self._begin_anew()
            self._miss()
        elif not self._took(self.read_keys(keys) if self.takes_keys else None, "keys"):
            self._miss(SORRY)
        return True

    @property
    def _free(self) -> bool:
        """Is there a model that can talk about what it was not written for?"""
        return self.llm is not None and bool(getattr(self.llm, "improvises", True))

    def _took(self, reading: T | More | Wrong | None, by: By) -> bool:
        if reading is None:
            return False
        if isinstance(reading, More):
            self._say(reading.question, reading.expectation or self.expectation)
        elif (reason := self._refused(reading)) is not None:
            self.forget()
            self._miss(reason)
        else:
            self._take(cast("T", reading), by)
        return True

    def _refused(self, reading: T | Wrong) -> str | None:
        if isinstance(reading, Wrong):
            return reading.reason
        return self._check(reading) if self._check is not None else None

    def _take(self, value: T, by: By) -> None:
        wanted = self._confirm if self._confirm is not None else self.confirms and by == "voice"
        if not wanted:
            self.complete(value)
            return
        self._pending, self._confirming = value, True
        self._say(self.read_back(value), CONFIRMING)

    def _confirmed(self, text: str) -> bool:
        """Yes, no, or something better than either: the right answer."""
        answer = parse.yes_no(text, self.voice.language)
        if answer is True:
            self.complete(cast("T", self._pending))
            return True
        rest = parse.behind_answer(text)
        if parse.declines(text) and answer is None:
            self.fail(f"The caller would rather not say the {self.label}.", "declined")
            return True
        pending = self._pending
        self._begin_anew()
        reading = self.read(rest) if rest.strip() else None
        if answer is None and reading == pending:
            self.complete(cast("T", pending))
        elif reading is not None and not isinstance(reading, Wrong):
            self._took(reading, "voice")
        elif answer is False:
            self._miss()
        elif self._free and not self.masked:
            self._pending, self._confirming = pending, True
            return False
        else:
            self._pending, self._confirming = pending, True
            self._miss(CONFIRM_AGAIN, self.read_back(cast("T", pending)))
        return True

    def _begin_anew(self) -> None:
        self._pending, self._confirming = None, False
        self.forget()

    def _miss(self, reason: str = "", question: str = "") -> None:
        """One more answer that is none. Ask in other words, or give up."""
        self._missed += 1
        if self._missed >= self._tries:
            self.fail(f"The {self.label} could not be understood.", "not_understood")
            return
        expectation = CONFIRMING if self._confirming else self.expectation
        question = self.worded(question or self._other_words())
        self._say(f"{self.worded(reason)} {question}".strip(), expectation)

    def _other_words(self) -> str:
        return self.again[max(0, self._missed - 1) % len(self.again)]

    def _say(self, text: str, expectation: Expectation | None) -> None:
        self.session.expect(expectation)
        self.session.say(self.worded(text))
        pending = self.read_back(cast("T", self._pending)) if self._confirming else ""
        self.silence["ask"] = self.worded(pending) or self._asks  # who says nothing is asked that again

    def _other_topic(self, text: str) -> str | None:
        """Which other task of the group do these words want back to?"""
        said = f" {' '.join(words_of(text, 'en'))} "
        if not any(f" {word} " in said for word in CHANGES):
            return None
        named = [topic for topic, names in self.topics.items() if any(f" {name} " in said for name in names)]
        if not named and any(phrase in said for phrase in (" go back ", " the one before ")):
            return next(reversed(self.topics), None)
        return named[0] if named else None


CHANGES = (
    "wrong", "change", "correct the", "correct my", "go back", "wait", "mistake", "incorrect", "not right",
    "isn't right", "fix", "back", "different", "again",
)  # fmt: skip

"""Yes or no, or one of a few things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from pipeline.agent.tasks import parse
from pipeline.agent.tasks.ask import CONFIRMING, Ask, More, Wrong
from pipeline.agent.tasks.wording import Worded, asked_back, in_language, listed, worded
from pipeline.agent.tools import function_tool
from pipeline.hearing.expectation import Expectation
from pipeline.hearing.numerals import number_words, words_of

T = TypeVar("T")


class AskYesNo(Ask[bool]):
    """Yes or no. By keys: 1 and 2."""

    label = "answer"
    what = "an answer, yes or no"
    takes_keys = True
    confirms = False
    expectation = CONFIRMING

    def __init__(self, question: str, *, again: Sequence[str] = (), **options: Any) -> None:
        super().__init__(
            question,
            again=again or (worded("Please say yes or no. {question}", question=question),),
            **options,
        )

    def read(self, text: str) -> bool | More | Wrong | None:
        return parse.yes_no(text, self.voice.language)

    def read_keys(self, keys: str) -> bool | More | Wrong | None:
        return {"1": True, "2": False}.get(keys)

    def read_back(self, value: bool) -> str:
        return worded(f"That is a {'yes' if value else 'no'}. Is that right?")

    @function_tool
    def record(self, value: bool) -> str:
        """Note the answer: true for yes."""
        return self.offer(value)


class AskChoice(Ask[T], Generic[T]):
    """One of a few things. choices: as callers say them → value; a list: the words are the values. By keys: 1, 2, 3 in
    their order. The question should name them: `{choices}` in it does."""

    label = "choice"
    takes_keys = True
    confirms = False

    def __init__(
        self,
        question: str,
        choices: Mapping[str, T] | Sequence[str],
        *,
        label: str = "",
        again: Sequence[str] = (),
        phrases: Sequence[str] = (),
        **options: Any,
    ) -> None:
        found: Mapping[str, Any] = (
            choices if isinstance(choices, Mapping) else {name: name for name in choices}
        )
        self.choices: dict[str, T] = dict(found)
        self.label = label or self.label
        names = list(self.choices)
        named = listed(names)
        self.what = f"a choice between {named}"
        self.expectation = Expectation("choice", at_most=1 if len(names) < 10 else 0, choices=tuple(names))
        self.cancel_words = not any(parse.cancels(name) for name in names)
        super().__init__(
            _naming(question, named),
            again=again or (worded("Please choose: {choices}.", choices=named),),
            phrases=(*phrases, *names),
            **options,
        )

    def read(self, text: str) -> T | More | Wrong | None:
        said = words_of(parse.corrected(text), "en")
        joined = f" {' '.join(said)} "
        named = [name for name in self.choices if f" {' '.join(words_of(name, 'en'))} " in joined]
        named = [name for name in named if not any(name != other and name in other for other in named)]
        if len(named) == 1:
            return self.choices[named[0]]
        return None if named else self._nth(said) or self._partly(said)

    def _nth(self, said: Sequence[str]) -> T | None:
        """ "The second one", "number two", "the last one"."""
        values = list(self.choices.values())
        if said[-2:] in (["last", "one"], ["the", "last"]):
            return values[-1]
        ordinals = number_words("en").ordinals
        for at, word in enumerate(said):
            number = ordinals.get(word, 0) if word in ordinals else 0
            if not number and at and said[at - 1] in ("number", "option"):
                number = number_words("en").below_hundred.get(word, 0) or int(word) if word.isdecimal() else (
                    number_words("en").below_hundred.get(word, 0)
                )  # fmt: skip
            if 1 <= number <= len(values):
                return values[number - 1]
        return None

    def _partly(self, said: Sequence[str]) -> T | None:
        """A word that belongs to one of them only: "the deluxe" of "deluxe room"."""
        fits = {
            name: len({word for word in words_of(name, "en") if len(word) > 2} & set(said))
            for name in self.choices
        }
        best = [name for name, count in fits.items() if count]
        return self.choices[best[0]] if len(best) == 1 else None

    def read_keys(self, keys: str) -> T | More | Wrong | None:
        values = list(self.choices.values())
        return values[int(keys) - 1] if keys.isdecimal() and 1 <= int(keys) <= len(values) else None

    def read_back(self, value: T) -> str:
        return asked_back(next(name for name, one in self.choices.items() if one == value))

    @function_tool
    def record(self, choice: str) -> str:
        """Note the choice.

        choice: one of those that were offered, word by word."""
        return self.offer(self.choices.get(choice, Wrong(f"{choice!r} is not to be had.")))


def _naming(question: str, named: str) -> str:
    """The question with the choices in it, where it wants them."""

    def say(language: str) -> str:
        things = in_language(named, language) if isinstance(named, Worded) else named
        return in_language(question, language).replace("{choices}", things)

    return Worded(question.replace("{choices}", named), say)

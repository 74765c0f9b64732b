"""Several tasks in order, as one: the caller may go back to any of them, and hears all of it read back at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pipeline.agent.conversation import Conversation
from pipeline.agent.task import TaskFailed
from pipeline.agent.tasks import parse
from pipeline.agent.tasks.ask import CHANGES, CONFIRMING, Ask, GoBack, More, Wrong
from pipeline.agent.tasks.wording import RIGHT, Worded, in_language, listed, worded
from pipeline.agent.tools import FunctionTool, RunContext, StopResponse, function_tool
from pipeline.hearing.numerals import words_of

T = TypeVar("T")
MOST_ROUNDS = 20  # tasks in one group, those that are done again included


class TaskGroup(Generic[T]):
    """Tasks by name. `await TaskGroup(Booking, name=AskName, phone=AskPhoneNumber).run(context)` gives a Booking.

    into: made of the results, a dataclass or a TypedDict for instance; `dict` will do. Each task is a class or a
    function that makes one: it is made anew when the caller goes back to it. Callers call it by its `label` and by its
    name here. summary: read everything back at the end and ask whether it is right."""

    def __init__(
        self, into: Callable[..., T], /, *, summary: bool = True, **tasks: Callable[[], Ask[Any]]
    ) -> None:
        self._into, self._summary, self._tasks = into, summary, tasks
        self._results: dict[str, Any] = {}
        self._said: dict[str, str] = {}  # how each result is read out
        self._names: dict[str, tuple[str, ...]] = {}

    async def run(self, where: RunContext | Conversation) -> T:
        """Ask for everything. Raises TaskFailed as soon as one of them fails."""
        words = ""
        topic = self._next()
        for _ in range(MOST_ROUNDS):
            try:
                if topic is None:
                    await self._ask_summary().run(where)
                    return self._into(**self._results)
                await self._run(topic, words, where)
                words, topic = "", self._next()
            except GoBack as back:
                topic, words = back.topic, self._new_value(back)
            if topic is None and not self._summary:
                return self._into(**self._results)
        raise TaskFailed("The caller went round and round.", "not_understood")

    def _next(self) -> str | None:
        return next((name for name in self._tasks if name not in self._results), None)

    async def _run(self, topic: str, words: str, where: RunContext | Conversation) -> None:
        task = self._tasks[topic]()
        self._names[topic] = tuple(dict.fromkeys((_plain(task.label), _plain(topic))))
        task.name = topic
        task.opening = words
        task.topics = {name: self._names[name] for name in self._results if name != topic}
        if task.topics:
            task.tools["go_back"] = _go_back(task)
        value = await task.run(where)
        self._results[topic] = value
        asked = task.worded(task.read_back(value))
        self._said[topic] = asked.removesuffix(f" {task.worded(RIGHT)}").rstrip(". ")

    def _new_value(self, back: GoBack) -> str:
        """What the caller said behind "the name is wrong", "change my name to": perhaps the right value."""
        words = words_of(back.text, "en")
        said = f" {' '.join(words)} "
        marks = (*CHANGES, *self._names.get(back.topic, ()), "is", "it's", "to", "be", "should be")
        end = max(
            (said.rfind(f" {mark} ") + len(mark) + 1 for mark in marks if f" {mark} " in said), default=0
        )
        behind = len(said[end:].split())
        return " ".join(back.text.split()[-behind:]) if behind else ""

    def _ask_summary(self) -> Ask[bool]:
        return _Summary(self._said, self._names)


class _Summary(Ask[bool]):
    """All results; ends well with a yes, and with GoBack to the one that is wrong."""

    label = "summary"
    what = "whether everything that was read back is right; if not, which part is wrong"
    takes_keys = True
    confirms = False
    expectation = CONFIRMING

    def __init__(self, said: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> None:
        labels = [names[topic][0] for topic in said]
        topics = listed(labels)
        self._which: str = worded("What should I change: {topics}?", topics=topics) if labels[1:] else ""
        super().__init__(
            worded("Let me read that back. {lines} Is everything right?", lines=_lines(said, names)),
            again=(_both("Is everything right?", self._which),),
            phrases=(*labels, *(f"the {label} is wrong" for label in labels)),
        )
        self.topics = dict(names)
        self.silence["ask"] = "Is everything right?"
        self.tools["go_back"] = _go_back(self)

    def read(self, text: str) -> bool | More | Wrong | None:
        said = f" {' '.join(words_of(text, 'en'))} "
        named = [topic for topic, names in self.topics.items() if any(f" {name} " in said for name in names)]
        answer = parse.yes_no(text, self.voice.language)
        if named and answer is not True:
            self.fail(GoBack(named[0], text))
            return True
        return self._answered(answer)

    def _answered(self, answer: bool | None) -> bool | More | None:
        if answer is not False:
            return answer
        if len(self.topics) == 1:
            self.fail(GoBack(next(iter(self.topics)), ""))
            return True
        return More(self._which)

    def read_keys(self, keys: str) -> bool | More | Wrong | None:
        return self._answered({"1": True, "2": False}.get(keys))

    @function_tool
    def record(self) -> str:
        """The caller says that everything is right."""
        return self.offer(True)


def _go_back(task: Ask[Any]) -> FunctionTool:
    """The model's way to another task of the group."""

    @function_tool(
        description=f"The caller wants to change something said before. topic: {', '.join(task.topics)}."
    )
    def go_back(topic: str) -> None:
        if topic not in task.topics:
            task.session.generate_reply(f"Ask which of these should be changed: {', '.join(task.topics)}.")
        else:
            task.fail(GoBack(topic, ""))
        raise StopResponse

    return go_back


def _plain(text: str) -> str:
    return " ".join(words_of(text.replace("_", " "), "en"))


def _lines(said: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> Worded:
    """Every result behind what it is called."""

    def say(language: str) -> str:
        called = {topic: in_language(names[topic][0], language) for topic in said}
        return " ".join(
            f"{called[topic][:1].upper()}{called[topic][1:]}: {text}." for topic, text in said.items()
        )

    return Worded(say("en"), say)


def _both(first: str, second: str) -> Worded:
    """One sentence behind the other."""
    return Worded(
        f"{first} {second}".strip(), lambda to: f"{in_language(first, to)} {in_language(second, to)}".strip()
    )

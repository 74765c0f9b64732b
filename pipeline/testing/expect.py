"""Assertions about what happened in a turn or a call, that read as what was expected. A failure tells the whole story.

`result.expect` walks through it: each assertion is about the next item. `result.has` looks for an item anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn, Self

from pipeline.agent.history import Message, Role
from pipeline.events import Event
from pipeline.testing.story import Item, Kind, Story


class Result:
    """What came of something the caller did.

    items: what the agent did, in order; the caller's own words are not among them unless whole. events, messages:
    everything that the session emitted, and that the history holds of it.
    """

    def __init__(self, story: Story, start: int = 0, *, whole: bool = False) -> None:
        entries = story.entries(start)
        told = story.items(start)
        self.items = [
            item for item in told if whole or item.kind != "message" or item.name not in ("user", "system")
        ]
        self.events = [entry for entry in entries if isinstance(entry, Event)]
        self.messages = [entry for entry in entries if isinstance(entry, Message)]
        self.told = tuple(told)

    @property
    def said(self) -> str:
        """What the caller heard, in one line."""
        return " ".join(
            item.text for item in self.items if item.kind == "message" and item.name == "assistant"
        )

    @cached_property
    def expect(self) -> Expect:
        """The next item is... It goes on where the last assertion stopped."""
        return Expect(self)

    @property
    def has(self) -> Has:
        """Somewhere there is..."""
        return Has(self)

    def __str__(self) -> str:
        """The whole story, a line an item."""
        return "\n".join(str(item) for item in self.told) or "(nothing happened)"


class Assertions:
    """What can be said of an item. Strings that are not given match everything; each returns itself."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def message(
        self,
        *,
        role: Role = "assistant",
        contains: str | Sequence[str] = "",
        text: str | None = None,
        agent: str = "",
        interrupted: bool | None = None,
    ) -> Self:
        """Somebody said something. contains: in the message, in any case of letters; several: all of them."""
        __tracebackhide__ = True
        parts = [contains] if isinstance(contains, str) else list(contains)
        what = f"a message of role {role!r}" + (f" by {agent!r}" if agent else "")
        what += f" with the text {text!r}" if text is not None else ""
        what += f" that contains {' and '.join(map(repr, parts))}" if any(parts) else ""
        what += f" with interrupted={interrupted}" if interrupted is not None else ""
        return self._check(
            "message",
            what,
            lambda item: (
                item.name == role
                and all(part.casefold() in item.text.casefold() for part in parts)
                and text in (None, item.text)
                and agent in ("", item.agent)
                and interrupted in (None, item.interrupted)
            ),
        )

    def tool_call(self, name: str = "", arguments: Mapping[str, Any] | None = None) -> Self:
        """The model asked for a tool. arguments: those that matter; there may be others."""
        __tracebackhide__ = True
        wanted = dict(arguments or {})
        what = f"a call of tool {name!r}" + (f" with {wanted!r}" if wanted else "")
        return self._check(
            "tool_call",
            what,
            lambda item: (
                name in ("", item.name)
                and all(key in item.arguments and item.arguments[key] == wanted[key] for key in wanted)
            ),
        )

    def tool_result(self, name: str = "", *, contains: str = "", ok: bool | None = None) -> Self:
        """A tool returned, or failed; the text is what the model is told."""
        __tracebackhide__ = True
        what = f"a result of tool {name!r}" + (f" that contains {contains!r}" if contains else "")
        what += f" with ok={ok}" if ok is not None else ""
        return self._check(
            "tool_result",
            what,
            lambda item: (
                name in ("", item.name)
                and contains.casefold() in item.text.casefold()
                and ok in (None, item.ok)
            ),
        )

    def handoff(self, to: str = "") -> Self:
        """Another agent took over, or a task."""
        __tracebackhide__ = True
        return self._check("handoff", f"a handoff to {to!r}", lambda item: to in ("", item.name))

    def transfer(self, target: str = "", *, ok: bool | None = None) -> Self:
        """The caller was sent elsewhere, or should have been."""
        __tracebackhide__ = True
        return self._check(
            "transfer",
            f"a transfer to {target!r}",
            lambda item: target in ("", item.name) and ok in (None, item.ok),
        )

    def over(self, reason: str = "") -> Self:
        """The call ended."""
        __tracebackhide__ = True
        return self._check(
            "over", f"the end of the call ({reason!r})", lambda item: reason in ("", item.name)
        )

    def _check(self, kind: Kind, what: str, fits: Callable[[Item], bool]) -> Self:
        raise NotImplementedError

    def _fail(self, text: str, marked: Item | None = None) -> NoReturn:
        __tracebackhide__ = True
        lines = [f"{'>' if item is marked else ' '} {item}" for item in self._result.told]
        raise AssertionError("\n".join([text, "What happened:", *(lines or ["  nothing"])]))


class Expect(Assertions):
    """Assertions about one item after the other."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self._at = 0

    def next(self) -> Item:
        """The next item, whatever it is."""
        __tracebackhide__ = True
        if self._at >= len(self._result.items):
            self._fail("Expected one thing more, but there is none.")
        self._at += 1
        return self._result.items[self._at - 1]

    def skip(self, count: int = 1) -> Self:
        """The next item does not matter."""
        __tracebackhide__ = True
        for _ in range(count):
            self.next()
        return self

    def no_more(self) -> None:
        """Nothing else happened."""
        __tracebackhide__ = True
        if self._at < len(self._result.items):
            item = self._result.items[self._at]
            self._fail(f"Expected nothing more, but there came {item}", item)

    def nothing_said(self) -> Self:
        """From here on the agent said nothing; tools may have run."""
        __tracebackhide__ = True
        for item in self._result.items[self._at :]:
            if item.kind == "message" and item.name == "assistant":
                self._fail(f"Expected that nothing is said, but there came {item}", item)
        return self

    def _check(self, kind: Kind, what: str, fits: Callable[[Item], bool]) -> Self:
        __tracebackhide__ = True
        items = self._result.items
        if self._at >= len(items):
            self._fail(f"Expected next {what}, but there is no more.")
        item = items[self._at]
        if item.kind != kind or not fits(item):
            self._fail(f"Expected next {what}, but there came {item}", item)
        self._at += 1
        return self


class Has(Assertions):
    """Assertions about any of the items."""

    def _check(self, kind: Kind, what: str, fits: Callable[[Item], bool]) -> Self:
        __tracebackhide__ = True
        if not any(item.kind == kind and fits(item) for item in self._result.items):
            self._fail(f"Expected {what} somewhere, but there is none.")
        return self

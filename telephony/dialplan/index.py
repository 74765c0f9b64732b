"""Many number patterns, asked with one number: exact ones by dictionary, patterns by a tree, then `any`. Pure.

The narrowest wins, compared from the left, in whatever order they were added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from telephony.dialplan.number import Pattern


class Patterned(Protocol):
    """What is found by its number."""

    @property
    def pattern(self) -> Pattern: ...


R = TypeVar("R", bound=Patterned)


@dataclass(slots=True)
class _Node(Generic[R]):
    """A place in the tree of patterns. ways: the next place's characters → what follows, narrowest first."""

    ways: list[tuple[frozenset[str], _Node[R]]] = field(default_factory=list)
    by_set: dict[frozenset[str], _Node[R]] = field(default_factory=dict)
    here: R | None = None
    rest: R | None = None

    def way(self, place: frozenset[str]) -> _Node[R]:
        node = self.by_set.get(place)
        if node is None:
            node = self.by_set[place] = _Node()
            self.ways.append((place, node))
            self.ways.sort(key=lambda way: len(way[0]))
        return node

    def find(self, number: str, at: int) -> R | None:
        if at == len(number):
            return self.here or self.rest
        for place, node in self.ways:
            if number[at] in place and (rule := node.find(number, at + 1)):
                return rule
        return self.rest

    def meeting(self, pattern: Pattern, at: int) -> Iterator[R]:
        """Rules from here on that share a number with what `pattern` has from place `at` on."""
        if self.rest:
            yield self.rest
        if self.here and at >= len(pattern.places):
            yield self.here
        for place, node in self.ways:
            if (at < len(pattern.places) and place & pattern.places[at]) or (
                at >= len(pattern.places) and pattern.rest
            ):
                yield from node.meeting(pattern, at + 1)


class Index(Generic[R]):
    """Rules ready to be asked. The first of two equal rules stays."""

    def __init__(self) -> None:
        self.exact: dict[str, R] = {}
        self.patterns: list[R] = []
        self.any: R | None = None
        self._root: _Node[R] = _Node()

    def add(self, rule: R) -> R | None:
        """Add one rule. Returns the equal rule that was there before, if any."""
        pattern = rule.pattern
        if (number := pattern.exact) is not None:
            before = self.exact.setdefault(number, rule)
            return None if before is rule else before
        if pattern.is_any:
            before_any, self.any = self.any, self.any or rule
            return before_any
        node = self._root
        for place in pattern.places:
            node = node.way(place)
        before_here = node.rest if pattern.rest else node.here
        if before_here is not None:
            return before_here
        if pattern.rest:
            node.rest = rule
        else:
            node.here = rule
        self.patterns.append(rule)
        return None

    def find(self, number: str) -> R | None:
        """The rule that takes a normalised number."""
        return self.exact.get(number) or (self._root.find(number, 0) if self.patterns else None) or self.any

    def meeting(self, pattern: Pattern) -> list[R]:
        """The pattern rules that share a number with `pattern`, itself included."""
        return list(self._root.meeting(pattern, 0))

    def __len__(self) -> int:
        return len(self.exact) + len(self.patterns) + (self.any is not None)

    def rules(self) -> Iterator[R]:
        """All of them, in no order that means anything."""
        yield from self.exact.values()
        yield from self.patterns
        if self.any:
            yield self.any

    def dismantle(self) -> Iterator[R]:
        """Let go of one rule after the other. At once it would take a large index a good part of a second."""
        while self.exact:
            yield self.exact.popitem()[1]
        waiting, self._root = [self._root], _Node()
        while waiting:
            node = waiting.pop()
            waiting.extend(child for _, child in node.ways)
            node.ways.clear()
            node.by_set.clear()
            if self.patterns:
                yield self.patterns.pop()
        while self.patterns:
            yield self.patterns.pop()
        self.any = None

    def in_order(self) -> Iterator[R]:
        """Every rule but the exact ones, in the order in which they are considered."""
        yield from sorted(self.patterns, key=lambda rule: rule.pattern.order)
        if self.any:
            yield self.any

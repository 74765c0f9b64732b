"""A tool call's arguments as models really write them: JSON, or JSON with a slip that leaves no doubt.

Mended are code fences, single quotes, trailing commas, bare keys, comments, Python's True/False/None, raw line
breaks in strings and an object that was encoded twice. Text that ends too early is refused, never completed: half
an order is another order. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.errors import ToolError

MAX_CHARS = 100_000
MAX_DEPTH = 50

_FENCE = re.compile(r"```\w*\s*(.*?)\s*```", re.DOTALL)
_GAP = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BARE = re.compile(r"[^\s,:\[\]{}\"'`/]+")
_KEY = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


class BadArguments(ToolError):
    """Arguments that are no JSON object and cannot safely be made one. The message says where it stops making sense."""


def read_arguments(text: str) -> dict[str, Any]:
    """The object that a model meant. Empty text is an empty object. Raises BadArguments."""
    if len(text) > MAX_CHARS:
        raise BadArguments(f"the arguments have {len(text)} characters. Send at most {MAX_CHARS}.")
    value = _read(text.strip())
    if isinstance(value, str):  # encoded twice
        value = _read(value.strip())
    if not isinstance(value, dict):
        raise BadArguments("the arguments are not a JSON object. Send one, such as {}.")
    return value


def _read(text: str) -> Any:
    if not text:
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        fenced = _FENCE.fullmatch(text)
        return _Mender(fenced[1] if fenced else text).read()


class _Mender:
    """Reads JSON with slips, once from left to right."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def read(self) -> Any:
        value = self._value()
        if self._next():
            raise self._wrong("something follows the end")
        return value

    def _next(self) -> str:
        """The next character that is neither space nor comment, "" at the end."""
        gap = _GAP.match(self._text, self._at)
        self._at = gap.end() if gap else self._at
        return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"nested more than {MAX_DEPTH} deep")
        char = self._next()
        if char == "{":
            value: Any = self._object()
        elif char == "[":
            value = self._list()
        elif char in ('"', "'") and char:
            value = self._string(char)
        else:
            value = self._bare()
        self._depth -= 1
        return value

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        while (char := self._next()) != "}":
            if char in ('"', "'") and char:
                key = self._string(char)
            elif bare := _KEY.match(self._text, self._at):
                key, self._at = bare[0], bare.end()
            else:
                raise self._wrong("a key is expected")
            if self._next() != ":":
                raise self._wrong("a colon is expected")
            self._at += 1
            found[key] = self._value()
            self._comma_before("}")
        self._at += 1
        return found

    def _list(self) -> list[Any]:
        found: list[Any] = []
        self._at += 1
        while self._next() != "]":
            found.append(self._value())
            self._comma_before("]")
        self._at += 1
        return found

    def _comma_before(self, end: str) -> None:
        """A comma, also one too many before the end; none before the end is right too."""
        char = self._next()
        if char == ",":
            self._at += 1
        elif char != end:
            raise self._wrong(f"a comma or {end} is expected")

    def _string(self, quote: str) -> str:
        """The text in quotes, by JSON's own rules; in single quotes a double one needs no backslash."""
        out, at = ['"'], self._at + 1
        while (char := self._text[at : at + 1]) != quote:
            if not char:
                raise self._wrong("a text is not closed")
            if char == "\\":
                char = self._text[at : at + 2]
                out.append("'" if char == "\\'" else char)
            else:
                out.append('\\"' if char == '"' else char)
            at += len(char)
        try:
            text = json.loads("".join([*out, '"']), strict=False)
        except ValueError:
            raise self._wrong("a text has a wrong backslash") from None
        self._at = at + 1
        assert isinstance(text, str)
        return text

    def _bare(self) -> Any:
        bare = _BARE.match(self._text, self._at)
        word = bare[0] if bare else ""
        if word in _WORDS:
            value: Any = _WORDS[word]
        elif _NUMBER.fullmatch(word):
            value = json.loads(word)
        else:
            raise self._wrong("a value is expected")
        self._at += len(word)
        return value

    def _wrong(self, what: str) -> BadArguments:
        where = "at the end" if self._at >= len(self._text) else f"at character {self._at + 1}"
        return BadArguments(f"not a JSON object: {what} {where}. Send complete, valid JSON.")

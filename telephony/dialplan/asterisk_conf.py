"""An Asterisk extensions.conf as it is written: contexts, extensions with their steps, includes. Pure.

Syntax only (docs.asterisk.org, "Dialplan"): what the steps mean for us is asterisk.py's business."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from telephony.dialplan.document import Problem

_SECTION = re.compile(r"\[([^\]]+)\](\(([^)]*)\))?")
_PRIORITY = re.compile(r"(\d+|n(?:\+\d+)?|s|hint)(?:\(([\w-]+)\))?", re.IGNORECASE)
_APPLICATION = re.compile(r"([A-Za-z_][\w-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_BLOCK = re.compile(r";--(?!-).*?--;", re.DOTALL)
MOST_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class Step:
    """One priority of an extension: an application and its arguments."""

    line: int
    priority: int
    label: str
    application: str
    arguments: str


@dataclass(slots=True)
class Extension:
    """One number or pattern of a context, its steps in order."""

    name: str
    line: int
    steps: list[Step] = field(default_factory=list)

    def at(self, where: str) -> int | None:
        """The place of a priority or label among the steps."""
        for place, step in enumerate(self.steps):
            if where == step.label or where == str(step.priority):
                return place
        return None


@dataclass(frozen=True, slots=True)
class Include:
    """Another context that is searched too. times: as in GotoIfTime, none if always."""

    line: int
    context: str
    times: tuple[str, ...] = ()


@dataclass(slots=True)
class Context:
    """One section of the file."""

    name: str
    line: int
    extensions: dict[str, Extension] = field(default_factory=dict)
    includes: list[Include] = field(default_factory=list)


@dataclass(slots=True)
class ConfFile:
    """The whole file. left_out: what could not be read, with its line and why."""

    path: str
    contexts: dict[str, Context] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    left_out: list[Problem] = field(default_factory=list)

    def leave_out(self, line: int, text: str) -> None:
        """Note what is not carried over; once is enough."""
        problem = Problem(self.path, line, 1, text)
        if problem not in self.left_out:
            self.left_out.append(problem)


def read_conf(text: str, path: str) -> ConfFile:
    """Read a file. Nothing is an error: what is not understood is left out, and said."""
    text = "".join(
        char if char.isprintable() or char in "\n\t" else " " for char in text.replace("\r\n", "\n")
    )
    return _Reader(ConfFile(path)).read(text)


class _Reader:
    def __init__(self, conf: ConfFile) -> None:
        self._conf = conf
        self._section = ""
        self._extension: Extension | None = None

    def read(self, text: str) -> ConfFile:
        for number, line in _lines(text):
            if line.startswith("#"):
                self._conf.leave_out(number, f"{line.split()[0]}: other files are not read. Import them too.")
            elif found := _SECTION.fullmatch(line):
                self._begin(number, found[1].strip(), found[3] or "")
            else:
                key, equals, value = line.partition("=")
                value = value.removeprefix(">").strip()
                if not equals:
                    self._conf.leave_out(number, f"{line[:40]!r} is no `key => value`.")
                else:
                    self._setting(number, key.strip().lower(), value)
        for context in self._conf.contexts.values():
            for extension in context.extensions.values():
                extension.steps.sort(key=lambda step: step.priority)
        return self._conf

    def _begin(self, number: int, name: str, options: str) -> None:
        self._section, self._extension = name, None
        if options not in ("", "+"):
            self._conf.leave_out(number, f"[{name}]({options}): templates are not carried over.")
        if name not in ("general", "globals"):
            self._conf.contexts.setdefault(name, Context(name, number))

    def _setting(self, number: int, key: str, value: str) -> None:
        context = self._conf.contexts.get(self._section)
        if self._section == "general":
            return
        if self._section == "globals":
            self._conf.variables[key.upper()] = value
            return
        if context is None:
            self._conf.leave_out(number, f"{key!r} stands before any [context].")
            return
        value = _VARIABLE.sub(self._variable, value)
        match key:
            case "exten":
                self._exten(number, context, value)
            case "same":
                if self._extension is None:
                    self._conf.leave_out(number, "`same` without an extension above it.")
                else:
                    self._step(number, self._extension, value)
            case "include":
                name, *times = [part.strip() for part in re.split(r"[,|]", value)]
                context.includes.append(Include(number, name, tuple(times)))
            case _:
                self._conf.leave_out(number, f"`{key}` has no counterpart here.")

    def _variable(self, found: re.Match[str]) -> str:
        return self._conf.variables.get(found[1].upper(), found[0])

    def _exten(self, number: int, context: Context, value: str) -> None:
        name, _, rest = value.partition(",")
        name = name.strip()
        if "/" in name:
            self._conf.leave_out(
                number, f"{name}: extensions by caller are not carried over. Use `when: caller`."
            )
            self._extension = None
            return
        self._extension = context.extensions.setdefault(name, Extension(name, number))
        self._step(number, self._extension, rest)

    def _step(self, number: int, extension: Extension, value: str) -> None:
        written, _, rest = value.partition(",")
        found = _PRIORITY.fullmatch(written.strip())
        if found is None or len(extension.steps) >= MOST_STEPS:
            self._conf.leave_out(number, f"{written.strip()[:40]!r} is no priority.")
            return
        if found[1].lower() == "hint":
            self._conf.leave_out(number, "hints belong to phones that show who is busy.")
            return
        application = _APPLICATION.fullmatch(rest.strip())
        if application is None:
            self._conf.leave_out(number, f"{rest.strip()[:40]!r} is no application.")
            return
        last = extension.steps[-1].priority if extension.steps else 0
        priority = _priority(found[1].lower(), last)
        step = Step(number, priority, found[2] or "", application[1], (application[2] or "").strip())
        extension.steps.append(step)


def _priority(text: str, last: int) -> int:
    if text.isdigit():
        return int(text[:9])
    if text == "s":
        return last
    return last + 1 + int(text.partition("+")[2][:9] or 0)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers, without comments."""
    text = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.split(r"(?<!\\);", line)[0].replace("\\;", ";").strip()
        if bare:
            yield number, bare


def arguments(text: str) -> list[str]:
    """Split at commas, but not within brackets or quotes; old files use bars."""
    parts, depth, quoted, part = [], 0, False, ""
    for char in text if "," in text or "|" not in text else text.replace("|", ","):
        quoted ^= char == '"'
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth <= 0 and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    return [*parts, part.strip()]

"""A dial plan out of an Asterisk extensions.conf: the common subset, and a list of what was not carried over. Pure.

An extension's steps are followed as Asterisk would, through Goto and GotoIfTime, until it is known where its calls go:
that is a rule here. Carried: exten, same, include (with times too), patterns, globals; Answer, Playback, Dial,
Voicemail, Queue, Goto, GotoIfTime, Hangup, Busy, Congestion. Reads what asterisk_conf.py found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from telephony.dialplan.asterisk_conf import ConfFile, Context, Extension, Include, Step, arguments, read_conf
from telephony.dialplan.asterisk_yaml import OPERATOR, Branches, NewRule, Values, as_yaml
from telephony.dialplan.document import Problem
from telephony.dialplan.number import Pattern, narrower, overlap, parse_pattern

SILENT = frozenset({"answer", "noop", "ringing", "progress", "proceeding", "verbose", "log"})
MOST_STEPS = 200
REFUSED = {"busy": 486, "congestion": 503}
# Q.850 causes and the SIP status that says the same (RFC 3398 §7.2.4.1)
CAUSES = {
    1: 404, 2: 404, 3: 404, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 27: 502, 28: 484, 29: 501, 31: 480,
    34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 57: 403, 58: 503, 65: 488, 79: 501, 87: 403, 88: 503, 102: 504,
}  # fmt: skip
HANGUP = 603  # what a caller gets whom a plan hangs up on before an answer
SPECIAL = {
    "t": "callers who press nothing",
    "T": "calls that last too long",
    "h": "what is done after a call",
    "o": "the operator key of voicemail",
    "a": "the * key of voicemail",
    "e": "errors",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file. text: the plan, as YAML. numbers: how many rules it has."""

    text: str
    numbers: int
    left_out: tuple[Problem, ...]


def imported(
    text: str, path: str, entries: tuple[str, ...] = (), pbx: str = "pbx.example", timezone: str = ""
) -> Imported:
    """Make a plan of a file. entries: the contexts in which calls come in. pbx: the host of the phones rung. timezone:
    of the machine that Asterisk ran on."""
    conf = read_conf(text, path)
    unknown = [name for name in entries if name not in conf.contexts]
    for name in unknown:
        conf.leave_out(0, f"there is no context [{name}]. Known: {', '.join(conf.contexts)}.")
    importing = _Importing(conf, pbx)
    rules = importing.rules([name for name in entries if name not in unknown] or importing.entries())
    if not timezone and any(when.keys() & {"day", "time"} for rule in rules for when, _ in rule.branches):
        conf.leave_out(0, "the time zone is that of Asterisk's machine, and not in this file. UTC is taken.")
    left_out = tuple(sorted(conf.left_out))
    return Imported(
        as_yaml(path, rules, importing.targets, left_out, timezone or "UTC"), len(rules), left_out
    )


class _Importing:
    """One file on its way. targets: name → what it does, as the plan has it."""

    def __init__(self, conf: ConfFile, pbx: str) -> None:
        self._conf, self._pbx = conf, pbx
        self.targets: dict[str, Values] = {}

    # ------------------------------------------------------------ which numbers

    def entries(self) -> list[str]:
        """The contexts that nobody includes and nobody goes to."""
        used = {include.context for context in self._conf.contexts.values() for include in context.includes}
        for context in self._conf.contexts.values():
            for extension in context.extensions.values():
                for step in extension.steps:
                    used |= set(_contexts_named(step))
        return [name for name in self._conf.contexts if name not in used] or list(self._conf.contexts)

    def rules(self, entries: list[str]) -> list[NewRule]:
        """The number rules, in the file's order."""
        found: dict[Pattern, NewRule] = {}
        for entry in entries:
            for context, extension, when in self._reachable(entry, {}, ()):
                pattern = self._pattern(extension)
                if pattern is None:
                    continue
                same = replace(pattern, text="")
                if (known := found.get(same)) is None:
                    if self._fits_in(pattern, extension, found.values()):
                        branches = self._branches(self._conf.contexts[entry], extension, when)
                        found[same] = NewRule(pattern, extension.line, context.name, branches)
                elif known.branches[-1][0]:  # so far only at times: the rest of the time is still free
                    known.branches += self._branches(self._conf.contexts[entry], extension, when)
        for rule in found.values():
            if rule.branches[-1][0]:
                rule.branches.append(({}, {"reject": 404}))
        return list(found.values())

    def _reachable(
        self, name: str, when: Values, seen: tuple[str, ...]
    ) -> Iterator[tuple[Context, Extension, Values]]:
        """A context's extensions, then those of what it includes."""
        context = self._conf.contexts[name]
        for extension in context.extensions.values():
            yield context, extension, when
        for include in context.includes:
            if include.context in (*seen, name):
                continue
            if include.context not in self._conf.contexts:
                self._conf.leave_out(include.line, f"there is no context [{include.context}] in this file.")
                continue
            times = self._included(include)
            both = None if times is None else _both(when, times)
            if both is None:
                self._conf.leave_out(include.line, f"[{include.context}] at these times: not carried over.")
                continue
            yield from self._reachable(include.context, both, (*seen, name))

    def _included(self, include: Include) -> Values | None:
        return self._times(list(include.times), include.line) if include.times else {}

    def _pattern(self, extension: Extension) -> Pattern | None:
        """The number as we write it; None if it is none."""
        name = extension.name
        if name in SPECIAL:
            self._conf.leave_out(extension.line, f"{name}: {SPECIAL[name]}: no rule of their own here.")
            return None
        try:
            return parse_pattern(_number(name))
        except ValueError as error:
            self._conf.leave_out(extension.line, f"{name or 'an extension without a name'}: {error}")
            return None

    def find(self, context: Context, name: str) -> Extension | None:
        """The extension that a call in this context goes to, as itself or by a pattern, included ones too."""
        everything = [extension for _, extension, _ in self._reachable(context.name, {}, ())]
        exact = next((extension for extension in everything if extension.name == name), None)
        if exact is not None:
            return exact
        for extension in everything:
            pattern = self._pattern(extension) if extension.name.startswith("_") else None
            if pattern is not None and not pattern.mismatch(name):
                return extension
        return None

    def _fits_in(self, pattern: Pattern, extension: Extension, before: Iterable[NewRule]) -> bool:
        """Can it stand beside the others? Asterisk searches a context before those it includes; here the narrowest
        number wins wherever it stands, and of two equally narrow ones one has to go."""
        for rule in before:
            other = rule.pattern
            if pattern.is_any or other.is_any or (number := overlap(other, pattern)) is None:
                continue
            narrow, wide = narrower(pattern, other), narrower(other, pattern)
            if not narrow and not wide:
                text = (
                    f"{pattern.text} is as narrow as {other.text}, and {number} fits both. The first is kept."
                )
                self._conf.leave_out(extension.line, text)
                return False
            context = self._conf.contexts[rule.context]
            if narrow and context.extensions.get(extension.name) is not extension:
                fact = f"{pattern.text} is narrower than {other.text} of [{rule.context}], which Asterisk asks first."
                self._conf.leave_out(extension.line, f"{fact} Here {pattern.text} takes these calls.")
        return True

    # ------------------------------------------------------------ where its calls go

    def _branches(self, context: Context, extension: Extension, when: Values) -> Branches:
        following = _Following(self, self._conf, extension.name)
        branches: Branches = []
        for own, where in following.follow(context, extension, 0, ()):
            both = _both(when, own)
            if both is None:
                self._conf.leave_out(extension.line, "one time within another: not carried over.")
                continue
            branches.append((both, where))
        return branches or [(when, {"reject": HANGUP})]

    def target(self, name: str, does: Values) -> str:
        """The name of a target that does this; a new one if there is none yet."""
        for known, known_does in self.targets.items():
            if known_does == does and (known == name or known.startswith(f"{name} ")):
                return known
        fresh, count = name, 1
        while fresh in self.targets or fresh == OPERATOR:
            count += 1
            fresh = f"{name} {count}"
        self.targets[fresh] = does
        return fresh

    def address(self, destination: str, line: int) -> str:
        """What Dial rings, as an address; "" if we cannot."""
        technology, _, rest = destination.partition("/")
        if technology.upper() not in ("SIP", "PJSIP", "IAX2", "LOCAL") or "${" in rest or not rest:
            why = "is known only during the call" if "${" in rest else "is no SIP phone"
            self._conf.leave_out(line, f"Dial({destination}): {why}. Name the address.")
            return ""
        if technology.upper() in ("IAX2", "LOCAL"):
            self._conf.leave_out(line, f"Dial({destination}): {technology} channels are not carried over.")
            return ""
        user, at, host = rest.partition("@")
        peer, slash, number = user.partition("/")
        user = number if slash else peer
        if re.fullmatch(r"\+\d{3,15}", user):
            return user
        if at and "." not in host:
            self._conf.leave_out(
                line, f"Dial({destination}): trunk {host!r} is sought in our settings' trunks."
            )
        return f"sip:{user}@{host if at and '.' in host else self._pbx}"

    def _times(self, parts: list[str], line: int) -> Values | None:
        """`09:00-17:00,mon-fri,*,*` as a condition; None if we cannot say it."""
        times, days, month_days, months = [*parts, "*", "*", "*", "*"][:4]
        if len(parts) > 4 and parts[4]:
            self._conf.leave_out(line, f"time zone {parts[4]}: the plan's is used.")
        if month_days.strip() != "*" or months.strip() != "*":
            text = f"{month_days} {months}: a date without a year. Make it a holiday of a calendar."
            self._conf.leave_out(line, text)
            return None
        when: Values = {}
        if days.strip() != "*":
            when["day"] = ", ".join(part.strip().lower() for part in days.split("&"))
        if times.strip() != "*":
            found = re.fullmatch(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)", times.strip())
            if found is None:
                self._conf.leave_out(
                    line, f"{times}: several times of a day in one. Write a branch for each."
                )
                return None
            end = int(found[3]) * 60 + int(found[4]) + 1  # Asterisk's last minute belongs to the time
            when["time"] = f"{int(found[1]):02d}:{found[2]}-{end // 60:02d}:{end % 60:02d}"
            if when["time"] in ("00:00-24:00",):
                del when["time"]
        return when

    def times(self, parts: list[str], line: int) -> Values | None:
        """For those who follow steps."""
        return self._times(parts, line)


@dataclass(slots=True)
class _Following:
    """One extension's steps. dialled: its name, for relative Goto."""

    importing: _Importing
    conf: ConfFile
    dialled: str
    steps: int = 0
    round: set[tuple[str, str, int]] = field(default_factory=set)

    def follow(
        self,
        context: Context,
        extension: Extension,
        place: int,
        prompts: tuple[str, ...],
        *,
        within: bool = False,
    ) -> Branches:
        """Where calls go from a step on. prompts: said so far. within: a call that is answered, where no conditions
        can be asked any more."""
        while place < len(extension.steps) and self.steps < MOST_STEPS:
            self.steps += 1
            step = extension.steps[place]
            name = step.application.lower()
            place += 1
            if name in ("playback", "background"):
                if name == "background":
                    self.conf.leave_out(step.line, "Background: keys pressed meanwhile. Make a `menu` of it.")
                prompts += tuple(filter(None, arguments(step.arguments)[0].split("&")))
            elif name == "dial":
                return [({}, self._dial(step, context, extension, place, prompts))]
            elif name == "voicemail":
                box = arguments(step.arguments)[0].partition("@")[0]
                does = {"voicemail": {"say": "Please leave a message after the tone."}}
                text = f"mailbox {box}: its greeting, and who gets its messages, are not carried over."
                self.conf.leave_out(step.line, text)
                return [({}, self._then(prompts, self.importing.target(f"voicemail {box}", does), step))]
            elif name == "queue":
                return [({}, self._queue(step, context, extension, place, prompts))]
            elif name == "hangup":
                return [({}, self._hung_up(arguments(step.arguments)[0], prompts, step))]
            elif name in REFUSED:
                return [({}, self._refused(REFUSED[name], prompts, step))]
            elif name == "goto":
                found = self._place(arguments(step.arguments), context, extension, step)
                if found is None or (found[0].name, found[1].name, found[2]) in self.round:
                    self.conf.leave_out(step.line, f"Goto({step.arguments}) leads nowhere new.")
                    break
                context, extension, place = found
                self.round.add((context.name, extension.name, place))
            elif name == "gotoiftime":
                branches = self._if_time(step, context, extension, place, prompts, within=within)
                if branches is not None:
                    return branches
            elif name == "wait":
                self.conf.leave_out(step.line, "Wait: calls are answered as soon as somebody can speak.")
            elif name not in SILENT:
                self.conf.leave_out(step.line, f"{step.application}: has no counterpart here.")
        return [({}, self._hung_up("", prompts, extension.steps[-1] if extension.steps else None))]

    def _if_time(
        self,
        step: Step,
        context: Context,
        extension: Extension,
        place: int,
        prompts: tuple[str, ...],
        *,
        within: bool,
    ) -> Branches | None:
        """Both ways of a GotoIfTime. None: go on with the next step."""
        times, _, labels = step.arguments.partition("?")
        yes, _, no = labels.partition(":")
        when = self.importing.times(arguments(times), step.line)
        if within:
            self.conf.leave_out(
                step.line, "GotoIfTime in an answered call: only numbers have conditions here."
            )
            when = None
        ways: list[Branches] = []
        for label in (yes, no):
            if not label.strip():
                ways.append(self.follow(context, extension, place, prompts))
                continue
            found = self._place(arguments(label), context, extension, step)
            if found is None or self.steps >= MOST_STEPS:
                self.conf.leave_out(step.line, f"{label}: there is no such place.")
                return None
            ways.append(self.follow(*found, prompts))
        if when is None:
            return ways[1]
        branches: Branches = []
        for own, where in ways[0]:
            if (both := _both(when, own)) is None:
                self.conf.leave_out(step.line, "one time within another: not carried over.")
            else:
                branches.append((both, where))
        return [*branches, *ways[1]] if when else ways[0]

    def _place(
        self, parts: list[str], context: Context, extension: Extension, step: Step
    ) -> tuple[Context, Extension, int] | None:
        """`[[context,]extension,]priority`, priority by number or label."""
        where = [part.strip() for part in parts if part.strip()]
        there = self.conf.contexts.get(where[0]) if len(where) == 3 else context
        if there is None or not where or len(where) > 3:
            return None
        target = extension
        if len(where) > 1:
            found = self.importing.find(there, where[-2].replace("${EXTEN}", self.dialled))
            if found is None:
                return None
            target = found
        place = target.at(where[-1])
        return None if place is None else (there, target, place)

    # ------------------------------------------------------------ ends

    def _dial(
        self, step: Step, context: Context, extension: Extension, place: int, prompts: tuple[str, ...]
    ) -> Values:
        parts = arguments(step.arguments)
        devices = [part for part in parts[0].split("&") if part]
        if len(devices) > 1:
            text = f"Dial rings {len(devices)} phones at once; only {devices[0]} is rung here."
            self.conf.leave_out(step.line, text)
        if len(parts) > 2 and parts[2]:
            self.conf.leave_out(step.line, f"Dial options {parts[2]!r}: not carried over.")
        address = self.importing.address(devices[0], step.line) if devices else ""
        rest = self.follow(context, extension, place, (), within=True)[-1][1]
        if not address:
            return self._said_and(prompts, rest, step)
        ring: Values = {"target": address}
        if len(parts) > 1 and parts[1].isdigit() and int(parts[1]) > 0:
            ring["ring"] = f"{parts[1]}s"
        if "target" in rest:
            ring["then"] = rest["target"]
        user = address.removeprefix("sip:").partition("@")[0]
        return self._then(prompts, self.importing.target(f"ring {user}", {"ring": ring}), step)

    def _queue(
        self, step: Step, context: Context, extension: Extension, place: int, prompts: tuple[str, ...]
    ) -> Values:
        name, *more = arguments(step.arguments)
        text = (
            f"queue {name}: its members are in queues.conf. Name the agent who serves it, and how many calls."
        )
        self.conf.leave_out(step.line, text)
        queue: Values = {
            "say": "All our colleagues are on the phone. Please hold the line.",
            "agent": OPERATOR,
            "places": "1",
        }
        if len(more) >= 4 and more[3].isdigit() and int(more[3]) > 0:
            queue["longest"] = f"{more[3]}s"
        rest = self.follow(context, extension, place, (), within=True)[-1][1]
        if "target" in rest:
            queue["then"] = rest["target"]
        return self._then(prompts, self.importing.target(f"queue {name}", {"queue": queue}), step)

    def _hung_up(self, cause: str, prompts: tuple[str, ...], step: Step | None) -> Values:
        return self._refused(CAUSES.get(int(cause), HANGUP) if cause.isdigit() else HANGUP, prompts, step)

    def _refused(self, code: int, prompts: tuple[str, ...], step: Step | None) -> Values:
        """Refuse the call, or hang up once something was said."""
        return self._said_and(prompts, {"reject": code}, step)

    def _said_and(self, prompts: tuple[str, ...], where: Values, step: Step | None) -> Values:
        return self._then(prompts, str(where.get("target", "")), step) if prompts else where

    def _then(self, prompts: tuple[str, ...], name: str, step: Step | None) -> Values:
        """Say the prompts, then go on to a target."""
        if not prompts:
            return {"target": name}
        for prompt in prompts:
            line = step.line if step is not None else 0
            self.conf.leave_out(line, f"recording {prompt!r}: write its words into `say`.")
        words = ". ".join(_words(prompt) for prompt in prompts) + "."
        does: Values = {"play": {"say": words, "then": name} if name else {"say": words}}
        return {"target": self.importing.target(f"say {prompts[-1].rpartition('/')[2]}", does)}


def _number(name: str) -> str:
    """An extension's name as a number of ours."""
    if name in ("s", "i"):
        return "any"
    if not name.startswith("_"):
        plain = re.fullmatch(r"[+*#]?[0-9*#]+", name) and not name.endswith("*")
        return name if plain else f"sip:{name}"
    body = name[1:].replace("-", "") if "[" not in name else name[1:]
    body = re.sub("[xzn]", lambda found: found[0].upper(), body)
    if body in (".", "!", "X.", "X!"):
        return "any"
    if body.endswith("."):
        return f"{body[:-1]}X*"  # Asterisk's `.` is one or more
    return f"{body[:-1]}*" if body.endswith("!") else body


def _contexts_named(step: Step) -> Iterator[str]:
    """The contexts that a step goes to."""
    texts = [step.arguments]
    if step.application.lower() == "gotoiftime":
        texts = step.arguments.partition("?")[2].split(":")
    if step.application.lower() in ("goto", "gotoiftime"):
        for text in texts:
            parts = arguments(text)
            if len(parts) == 3:
                yield parts[0]


def _both(one: Values, two: Values) -> Values | None:
    """Both conditions at once; None if they ask for the same thing in different words."""
    if any(one[key] != two[key] for key in one.keys() & two.keys()):
        return None
    return {**one, **two}


def _words(prompt: str) -> str:
    """What a recording called so may say: a first draft for whoever knows."""
    text = re.sub(r"[-_]+", " ", prompt.rpartition("/")[2]).strip()
    return text[:1].upper() + text[1:]

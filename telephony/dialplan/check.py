"""What only shows when a plan is read as a whole: names that lead nowhere, agents that cannot do what they should.

Yields findings with the place in the file's tree; load.py turns them into `path:line:column`. Single values have been
checked by the models; tools are looked up in their files (tool_files.py). Numbers, targets and calendars are
check_calls.py's and check_hours.py's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from telephony.dialplan.check_calls import check_calls
from telephony.dialplan.check_empty import check_empty
from telephony.dialplan.check_ends import check_ends
from telephony.dialplan.check_hours import check_calendars
from telephony.dialplan.check_voices import check_voices
from telephony.dialplan.check_ways import ANSWERED
from telephony.dialplan.compile import FilesRead
from telephony.dialplan.document import Loc, nearest
from telephony.dialplan.finding import Finding
from telephony.dialplan.match import Rule
from telephony.dialplan.model import (
    CONSENT,
    SLOTS,
    Defaults,
    Destination,
    DialPlan,
    GiveUp,
    Intent,
    McpChoice,
    Persona,
    Script,
    TargetSpec,
)
from telephony.dialplan.pruned import WHOLE, Unread
from telephony.dialplan.tool_files import missing

_BRACES = re.compile(r"\{([^{}]*)\}")
_SECRET_HEADER = re.compile(r"authorization|cookie|api-?key|secret|token", re.IGNORECASE)
_SECRET = re.compile(r"(api_?key|secret|token|password)$", re.IGNORECASE)


def check_plan(
    plan: DialPlan,
    names: Collection[str],
    rules: Sequence[Rule],
    files: FilesRead,
    trunks: Mapping[str, int] | None = None,
    unread: Unread = WHOLE,
) -> Iterator[Finding]:
    """Everything that is wrong with a plan as a whole.

    names: of all agents and targets in the file, those too that could not be read. rules: the numbers, in file order.
    trunks: those of the settings, name → calls at once. unread: what else is in the file and not in the plan."""
    for name, server in plan.mcp.items():
        yield from _server(name, server)
    for name, persona in plan.agents.items():
        yield from _persona(name, persona, plan.targets, names, unread)
        for at, server_name in enumerate(persona.mcp):
            if server_name not in plan.mcp and not unread.lacks("mcp", server_name):
                fact = f"no MCP server {server_name!r}.{nearest(server_name, plan.mcp)} Describe it under `mcp:`."
                yield Finding(("agents", name, "mcp", at), fact)
    yield from check_empty(plan)
    yield from _secrets(("defaults",), plan.defaults.model_dump())
    yield from _providers(("defaults",), plan.defaults)
    yield from check_voices(plan)
    yield from check_ends(plan, unread)
    yield from check_calendars(plan, files, unread)
    yield from check_calls(plan, names, rules, trunks, unread)


# ---------------------------------------------------------------- agents


def _persona(
    name: str, persona: Persona, targets: Mapping[str, TargetSpec], agents: Collection[str], unread: Unread
) -> Iterator[Finding]:
    loc: Loc = ("agents", name)
    if not (persona.instructions or persona.script or persona.python):
        yield Finding(
            loc, f"agent {name!r} knows nothing. Add `instructions`, a `script` or `python`.", key=True
        )
    if name == CONSENT:
        yield Finding(loc, f"{CONSENT!r} is a name of ours. Give the agent another one.", key=True)
    for at, tool in enumerate(persona.tools):
        if ":" in tool and (fact := missing(tool)):
            yield Finding((*loc, "tools", at), fact)
    if persona.python and (fact := missing(persona.python)):
        yield Finding((*loc, "python"), fact)
    for at, target in enumerate(persona.handoff):
        if target == name:
            yield Finding((*loc, "handoff", at), f"agent {name!r} hands over to itself. Remove it.")
        elif target not in agents:
            yield Finding(
                (*loc, "handoff", at), f"handoff to {target!r}: no such agent.{nearest(target, agents)}"
            )
        elif target in targets and targets[target].unanswered and not unread.lacks("targets", target):
            fact = f"handoff to {target!r}, which takes no call that is answered already."
            yield Finding((*loc, "handoff", at), f"{fact} {ANSWERED}")
    if "transfer" in persona.tools and not persona.transfer_to:
        fact = "`transfer` is granted but there is no target. Add `transfer_to`."
        yield Finding((*loc, "tools", persona.tools.index("transfer")), fact, because=("transfer_to",))
    for place_name, place in persona.transfer_to.items():
        yield from _destination((*loc, "transfer_to", place_name), place)
    yield from _secrets(loc, persona.model_dump(exclude={"script"}))
    yield from _providers(loc, persona)
    if persona.script:
        yield from _script((*loc, "script"), persona, persona.script)


def _destination(loc: Loc, place: Destination) -> Iterator[Finding]:
    """Keys that mean something together only."""
    if place.release and not place.attended:
        yield Finding(
            (*loc, "release"), "`release` needs `attended: yes`: nobody was spoken to. Add it.", key=True
        )
    useless = "blind" if not place.attended else "bridge"
    if place.fallback == useless:
        does = "is attended and bridged" if place.attended else "is blind"
        yield Finding((*loc, "fallback"), f"this transfer {does} anyway. Remove `fallback: {useless}`.")


def _server(name: str, server: McpChoice) -> Iterator[Finding]:
    loc: Loc = ("mcp", name)
    if bool(server.command) == bool(server.url):
        fact = "has both `command` and `url`" if server.url else "has neither `command` nor `url`"
        yield Finding(loc, f"MCP server {name!r} {fact}. Give it one of the two.", key=True)
    misplaced = ("env", "env_from") if server.url else ("headers", "headers_env")
    for key in misplaced:
        if getattr(server, key):
            means = "`url`" if server.url else "`command`"
            fact = f"{key!r} has no meaning beside {means}. Remove it."
            yield Finding((*loc, key), fact, key=True, because=("url", "command"))
    for header in server.headers:
        if _SECRET_HEADER.search(header):
            fact = (
                f"{header!r} is a secret. Put it into the environment and name the variable in `headers_env`."
            )
            yield Finding((*loc, "headers", header), fact, key=True)
    yield from _secrets(loc, server.model_dump(exclude={"headers", "headers_env"}))


def _script(loc: Loc, persona: Persona, script: Script) -> Iterator[Finding]:
    names = [intent.name for intent in script.intents]
    for at, intent in enumerate(script.intents):
        here: Loc = (*loc, "intents", at)
        if intent.name in names[:at]:
            yield Finding((*here, "name"), f"intent {intent.name!r} is there already. Give it another name.")
        if intent.after and intent.after not in names:
            fact = f"no intent {intent.after!r}.{nearest(intent.after, names)}"
            yield Finding((*here, "after"), fact, because=("script",))
        if intent.tool and not (persona.python or persona.mcp) and intent.tool not in _granted(persona):
            fact = (
                f"tool {intent.tool!r} is not granted to this agent.{nearest(intent.tool, _granted(persona))}"
            )
            yield Finding((*here, "tool"), f"{fact} Add it to `tools`.", because=("tools", "python", "mcp"))
        if intent.arguments and not intent.tool:
            fact = "arguments without a `tool`. Add the tool or remove them."
            yield Finding((*here, "arguments"), fact, key=True, because=("script",))
        if intent.else_say and not intent.collect:
            fact = "else_say without `collect`. Add what to collect or remove it."
            yield Finding((*here, "else_say"), fact, key=True, because=("script",))
        if intent.collect and intent.collect.what.startswith("yes_no") and not intent.collect.question:
            fact = "yes or no to what? Write collect: {what: yes_no, question: Is it urgent?}."
            yield Finding((*here, "collect"), fact)
        yield from _actions(here, persona, intent)
        yield from _placeholders(here, intent)
    if script.give_up:
        yield from _actions((*loc, "give_up"), persona, script.give_up)


def _actions(loc: Loc, persona: Persona, step: Intent | GiveUp) -> Iterator[Finding]:
    """An intent or give_up may do one thing beside talking, and only what its agent is allowed to."""
    tool = step.tool if isinstance(step, Intent) else ""
    done = [
        key
        for key, value in (("tool", tool), ("handoff", step.handoff), ("transfer", step.transfer))
        if value
    ]
    done += ["hang_up"] if step.hang_up else []
    if isinstance(step, Intent) and step.collect and not tool:
        done.insert(0, "collect")
    if len(done) > 1:
        yield Finding(
            (*loc, done[-1]), f"one step does one thing, here {' and '.join(done)}. Keep one.", key=True
        )
    if not done and not step.say:
        fact = "this step says and does nothing. Add `say`, `tool`, `handoff`, `transfer` or `hang_up`."
        yield Finding(loc, fact, because=("script",))
    if step.handoff and step.handoff not in persona.handoff:
        fact = f"handoff to {step.handoff!r} is not allowed to this agent.{nearest(step.handoff, persona.handoff)}"
        yield Finding((*loc, "handoff"), f"{fact} Add it to `handoff`.", because=("handoff",))
    if step.transfer and step.transfer not in persona.transfer_to:
        fact = f"no transfer target {step.transfer!r}.{nearest(step.transfer, persona.transfer_to)}"
        yield Finding((*loc, "transfer"), f"{fact} See `transfer_to`.", because=("transfer_to",))
    for tool, wanted in (("transfer", step.transfer), ("hang_up", step.hang_up)):
        if wanted and tool not in persona.tools:
            fact = f"{tool} is not granted to this agent. Add {tool} to its `tools`."
            yield Finding((*loc, tool), fact, key=True, because=("tools",))


def _placeholders(loc: Loc, intent: Intent) -> Iterator[Finding]:
    """A `{slot}` in what is said or passed on must be heard in every phrase; `{result}` needs a tool."""
    slots = set.intersection(*(_slots(phrase) for phrase in intent.phrases))
    texts = [((*loc, "say", at), text, slots) for at, text in enumerate(intent.say)]
    passed = {"result"} if intent.collect else slots
    texts += [((*loc, "arguments", key), text, passed) for key, text in intent.arguments.items()]
    answered = slots | {"result"} if intent.tool or intent.transfer or intent.collect else slots
    answered = {"result"} if intent.collect else answered
    texts += [((*loc, "then_say", at), text, answered) for at, text in enumerate(intent.then_say)]
    for place, text, known in texts:
        for inner in _BRACES.findall(text):
            if (name := inner.split(".")[0]) in known:
                continue
            why = "not every phrase has it" if name in SLOTS else "there is nothing of that name"
            fact = f"{{{inner}}} stays empty: {why}.{nearest(name, known)}"
            yield Finding(place, fact, because=("script",))


def _slots(phrase: str) -> set[str]:
    """The values a phrase yields. A second slot of one kind is called `digits_2`."""
    kinds = [inner.split(":")[0] for inner in _BRACES.findall(phrase)]
    nth = [kinds[: at + 1].count(kind) for at, kind in enumerate(kinds)]
    return {kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, nth, strict=True)}


def _granted(persona: Persona) -> tuple[str, ...]:
    """Tools as a language model names them: a function by its own name."""
    return tuple(tool.rpartition(":")[2] for tool in persona.tools)


def _providers(loc: Loc, agent: Persona | Defaults) -> Iterator[Finding]:
    """A provider cannot stand in for itself."""
    for kind, choices in (("stt", agent.stt), ("llm", agent.llm), ("tts", agent.tts)):
        known = [(choice.name, choice.options) for choice in choices or ()]
        for at, choice in enumerate(choices or ()):
            if known[at] in known[:at]:
                fact = f"{kind} {choice.name!r} is there already and cannot stand in for itself."
                yield Finding((*loc, kind, at), f"{fact} Name another one or remove it.")


def _secrets(loc: Loc, dump: object) -> Iterator[Finding]:
    """Keys of providers do not belong into a plan: it is shared, versioned and shown in the console."""
    if not isinstance(dump, dict):
        return
    for key, value in dump.items():
        place = loc if key == "options" else (*loc, key)
        if isinstance(value, str) and _SECRET.search(str(key)):
            yield Finding(place, f"{key!r} is a secret. Put it into .env and remove it here.", key=True)
        several = isinstance(value, tuple) and len(value) > 1
        for at, part in enumerate(value if isinstance(value, tuple) else (value,)):
            yield from _secrets((*place, at) if several else place, part)

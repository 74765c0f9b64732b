"""A dial plan as a picture of names: numbers lead to agents and targets, these to each other. Pure.

Numbers whose rules say the same are one box. Drawn as Mermaid text here, as SVG by drawing.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from telephony.dialplan.match import Plan, Rule
from telephony.dialplan.model import OnFailure
from telephony.dialplan.routing import NumberRoute, Outcome, TargetSpec, When

Kind: TypeAlias = Literal["number", "agent", "target", "end"]
SHOWN = 4  # numbers in one box


@dataclass(frozen=True, slots=True)
class Node:
    """One box. lines: what stands in it, the first is its title."""

    key: str
    kind: Kind
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow. label: when calls go that way. spare: only if something fails or is closed."""

    source: str
    target: str
    label: str = ""
    spare: bool = False


@dataclass(slots=True)
class Graph:
    """Boxes by key, in the order in which they are met, and arrows."""

    title: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str, bool], Edge] = field(default_factory=dict)

    def arrow(self, source: str, target: str, label: str = "", *, spare: bool = False) -> None:
        """Add an arrow; labels of arrows between the same two boxes are put together."""
        before = self.edges.get((source, target, spare))
        labels = [*(before.label.split(", ") if before and before.label else []), *([label] if label else [])]
        self.edges[source, target, spare] = Edge(source, target, ", ".join(dict.fromkeys(labels)), spare)


def graph(plan: Plan) -> Graph:
    """Everything that a call can meet."""
    found = Graph(plan.name)
    groups: dict[str, list[Rule]] = {}
    for priority, index in plan.indexes:
        for rule in [*index.exact.values(), *index.in_order()]:
            same = rule.action.model_dump_json(exclude={"number", "name"})
            groups.setdefault(f"{priority} {same}", []).append(rule)
    for at, rules in enumerate(groups.values()):
        key = f"number {at}"
        found.nodes[key] = Node(key, "number", tuple(_numbers(rules)))
    for name in plan.spec.agents:
        found.nodes[f"name {name}"] = Node(f"name {name}", "agent", (name, _speaks(plan, name)))
    for name, target in plan.spec.targets.items():
        found.nodes[f"name {name}"] = Node(f"name {name}", "target", (name, _does(target)))
    for at, rules in enumerate(groups.values()):
        _number(found, f"number {at}", rules[0].action, plan)
    for name, persona in plan.spec.agents.items():
        for other in persona.handoff:
            found.arrow(f"name {name}", _end(found, other))
        for label, place in persona.transfer_to.items():
            found.arrow(f"name {name}", _end(found, place.target), f"transfer: {label}")
    for name, target in plan.spec.targets.items():
        _target(found, f"name {name}", target)
    _failing(found, plan.spec.defaults.on_failure)
    return found


def mermaid(drawn: Graph) -> str:
    """As a Mermaid flowchart."""
    ids = {key: f"n{at}" for at, key in enumerate(drawn.nodes)}
    shapes = {"number": '(["{}"])', "agent": '["{}"]', "target": '[/"{}"/]', "end": '{{{{"{}"}}}}'}
    lines = ["flowchart LR"]
    for key, node in drawn.nodes.items():
        text = "<br/>".join(_escaped(line) for line in node.lines if line)
        lines.append(f"  {ids[key]}{shapes[node.kind].format(text)}:::{node.kind}")
    for edge in drawn.edges.values():
        line = "-.->" if edge.spare else "-->"
        label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
        lines.append(f"  {ids[edge.source]} {line}{label} {ids[edge.target]}")
    lines += [
        "  classDef number fill:#eef3fb,stroke:#3566a8",
        "  classDef agent fill:#e9f6ec,stroke:#2f7d46",
        "  classDef target fill:#fdf3e1,stroke:#a8701d",
        "  classDef end fill:#f1f1f1,stroke:#777",
    ]
    return "\n".join(lines).replace("classDef end", "classDef ending").replace(":::end", ":::ending") + "\n"


def _escaped(text: str) -> str:
    """`end` and brackets mean something in Mermaid; inside quotes only the quote does, and `#` for entities."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _numbers(rules: list[Rule]) -> Iterator[str]:
    for rule in rules[:SHOWN]:
        name = f"  {rule.action.name}" if rule.action.name else ""
        yield f"{rule.action.number}{name}"
    if len(rules) > SHOWN:
        yield f"and {len(rules) - SHOWN:,} more"
    if priority := rules[0].action.priority:
        yield f"priority {priority}"


def _number(found: Graph, key: str, action: NumberRoute, plan: Plan) -> None:
    opened = action.open
    if opened:
        failing = action.on_failure or plan.spec.defaults.on_failure or OnFailure()
        closed = failing.closed or "480"
        found.arrow(key, _end(found, closed), f"{opened} closed", spare=True)
    for limit, label in (
        (action.max_calls, "calls at once"),
        (action.calls_per_hour, "an hour by one caller"),
    ):
        if limit is not None:
            who = limit.then or "486"
            found.arrow(key, _end(found, who), f"above {limit.limit} {label}", spare=True)
    _outcome(found, key, action, "")
    for branch in action.routes:
        otherwise = "else" if len(action.routes) > 1 else ""
        _outcome(found, key, branch, _when(branch.when) if branch.when else otherwise)


def _failing(found: Graph, failing: OnFailure | None) -> None:
    """Who takes calls of any number that cannot go on."""
    if failing is None:
        return
    found.nodes["failing"] = Node("failing", "number", ("a call that fails",))
    for part in ("overload", "provider_outage", "agent_crash", "closed"):
        if name := getattr(failing, part):
            found.arrow("failing", _end(found, name), part.replace("_", " "), spare=True)


def _speaks(plan: Plan, name: str) -> str:
    return plan.teams[name][name].language or ""


def _outcome(found: Graph, key: str, outcome: Outcome, label: str) -> None:
    for name in filter(None, (outcome.agent, outcome.target)):
        found.arrow(key, _end(found, name), label)
    if outcome.reject is not None:
        found.arrow(key, _end(found, str(outcome.reject)), label)
    for address in outcome.redirect:
        found.arrow(key, _end(found, address), label)
    for name, share in (outcome.split or {}).items():
        found.arrow(key, _end(found, name), f"{label} {share:g}%".strip())


def _target(found: Graph, key: str, target: TargetSpec) -> None:
    if target.menu:
        for pressed, name in target.menu.keys.items():
            found.arrow(key, _end(found, name), f"key {pressed}")
    if target.queue:
        found.arrow(key, _end(found, target.queue.agent), "next")
    if target.ring:
        found.arrow(key, _end(found, target.ring.target))
    for name, share in target.split.items():
        found.arrow(key, _end(found, name), f"{share:g}%")
    for address in target.redirect:
        found.arrow(key, _end(found, address), "sent on")
    if target.reject is not None:
        found.arrow(key, _end(found, str(target.reject)))
    if then := getattr(target.does, "then", ""):
        found.arrow(key, _end(found, then), "after" if target.play else "nobody", spare=True)


def _end(found: Graph, name: str) -> str:
    """The box of a name; one for an address or a SIP status is made."""
    if f"name {name}" in found.nodes:
        return f"name {name}"
    key = f"end {name}"
    text = f"refused, {name}" if re.fullmatch(r"\d{3}", name) else name
    found.nodes.setdefault(key, Node(key, "end", (text,)))
    return key


def _does(target: TargetSpec) -> str:
    kinds = ("ring", "voicemail", "play", "menu", "queue", "redirect", "split", "reject")
    return next((kind for kind in kinds if getattr(target, kind)), "")


def _when(when: When) -> str:
    """A condition in few words."""
    parts = [
        f"caller {', '.join(when.caller)}" if when.caller else "",
        f"trunk {', '.join(when.trunk)}" if when.trunk else "",
        ", ".join(f"{name}: {value}" for name, value in when.header.items()),
        f"language {', '.join(when.language)}" if when.language else "",
        f"{when.calendar} {when.is_}" if when.calendar else "",
        " ".join(filter(None, (when.date, when.day, when.time))),
        f"load {when.load}" if when.load else "",
    ]
    return " and ".join(filter(None, parts)) or "always"

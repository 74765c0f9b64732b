"""What asterisk.py found in an extensions.conf, written as a dial plan. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from telephony.dialplan.document import Problem
from telephony.dialplan.number import Pattern

Values: TypeAlias = dict[str, Any]
Branches: TypeAlias = list[tuple[Values, Values]]  # when → where to; the last one's when is empty

OPERATOR = "operator"


@dataclass(slots=True)
class NewRule:
    """One number here, from one extension or several of its name."""

    pattern: Pattern
    line: int
    context: str
    branches: Branches

    @property
    def number(self) -> str:
        """As it is written."""
        return self.pattern.text


def as_yaml(
    path: str,
    rules: Sequence[NewRule],
    targets: dict[str, Values],
    left_out: Sequence[Problem],
    timezone: str,
) -> str:
    """The plan as text, with what was not carried over as a comment at its end."""
    lines = [
        f"# Made from {path.rpartition('/')[2]} by `offhook dialplan import asterisk`.",
        "# Look at what was not carried over, at the end, before you use it.",
        'version: "1"',
        f"timezone: {_flow(timezone)}",
        "agents:",
        f"  {OPERATOR}:",
        "    instructions: You are the operator, on the phone. Be short and friendly.",
        "    greeting: Hello, what can I do for you?",
    ]
    if targets:
        lines.append("targets:")
        lines += [f"  {_flow(name)}: {_flow(does)}" for name, does in targets.items()]
    lines.append("numbers:")
    for rule in rules:
        lines.append(f"  - number: {_flow(rule.number)}  # line {rule.line}, [{rule.context}]")
        if len(rule.branches) == 1:
            lines += [f"    {key}: {_flow(value)}" for key, value in rule.branches[0][1].items()]
            continue
        lines.append("    routes:")
        for when, where in rule.branches:
            lines.append(f"      - {_flow({'when': when, **where} if when else where)}")
    if left_out:
        lines.append("# Not carried over:")
        lines += [f"#   line {problem.line}: {' '.join(problem.text.split())}" for problem in left_out]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """A value in YAML's flow style: JSON is YAML, with every text in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)

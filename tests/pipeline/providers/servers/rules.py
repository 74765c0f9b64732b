"""A language model that goes by rules in a YAML file, so that a server can hold a whole conversation with tools.

    - {user: opening hours, say: We are open from nine to five.}
    - {user: my bill, say: One moment., tool: hand_over, arguments: {agent: billing}}
    - {result: Invoice, say: "{result}"}

The first rule fits whose words are in the newest message, of a caller (`user`) or a tool (`result`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Rule:
    """user, result: words in the newest message, if it is the caller's or a tool's. {result}: what the tool said."""

    user: str = ""
    result: str = ""
    say: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file."""
    return [Rule(**rule) for rule in yaml.safe_load(path.read_text(encoding="utf-8"))]


def answer(rules: Sequence[Rule], messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[tuple[str, str]]]:
    """What the model says, and the tools that it wants with it. messages: as the chat format has them."""
    role, said = str(messages[-1]["role"]), str(messages[-1].get("content") or "").lower()
    for rule in rules:
        wanted = rule.result if role == "tool" else rule.user
        if wanted and wanted.lower() in said:
            text = rule.say.replace("{result}", str(messages[-1].get("content") or ""))
            return text, [(rule.tool, json.dumps(rule.arguments))] if rule.tool else []
    return "Sorry, could you say that again, please?", []

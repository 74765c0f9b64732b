"""The dial plan's keys for editors and readers, made from the models: a JSON Schema and tables. Pure but for `main`.

    python -m telephony.dialplan.schema        # writes config/dialplan.schema.json and the tables of docs/reference.md

A line `# yaml-language-server: $schema=../config/dialplan.schema.json` on top of a plan makes editors complete it. The
schema knows shapes and names; what the plan means as a whole only load.py knows."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from telephony.dialplan import persona, routing
from telephony.dialplan.choice import Routing
from telephony.dialplan.described import MEANINGS
from telephony.dialplan.hours import Calendar
from telephony.dialplan.model import DialPlan
from telephony.dialplan.saying import Saying

SCHEMA = Path("config/dialplan.schema.json")
REFERENCE = Path("docs/reference.md")
BEGIN, END = "<!-- keys of the dial plan: python -m telephony.dialplan.schema -->", "<!-- end of keys -->"

MODELS: tuple[type[BaseModel], ...] = (
    DialPlan, persona.Defaults, persona.OnFailure, routing.NumberRoute, routing.Branch, routing.When, routing.Limit,
    routing.TargetSpec, Saying, routing.Ring, routing.Voicemail, routing.Play, routing.Menu, routing.Queue, Calendar,
    routing.CallerList, routing.TrunkUse, routing.PlanTest, persona.Persona, persona.Destination, persona.VoiceChoice,
    persona.ProviderChoice, persona.McpChoice, persona.Script, persona.Intent, persona.Collect, persona.GiveUp,
)  # fmt: skip
PLACES = {
    "DialPlan": "The plan", "Defaults": "`defaults`", "OnFailure": "`on_failure`", "NumberRoute": "`numbers`: each",
    "Branch": "`routes`: each branch", "When": "`when`", "Limit": "`max_calls`, `calls_per_hour`",
    "TargetSpec": "`targets`: each one, exactly one of",
    "Saying": "`say`, `thanks`, `announcement`, `consent`: a text, or",
    "Ring": "`ring`", "Voicemail": "`voicemail`", "Play": "`play`",
    "Menu": "`menu`", "Queue": "`queue`", "Calendar": "`calendars`: each one", "CallerList": "`lists`: each one",
    "TrunkUse": "`trunks`: each one", "PlanTest": "`tests`: each one", "Persona": "`agents`: each one",
    "Destination": "`transfer_to`: each one", "VoiceChoice": "`voice`", "ProviderChoice": "`stt`, `llm`, `tts`",
    "McpChoice": "`mcp`: each one", "Script": "`script`", "Intent": "`intents`: each one", "Collect": "`collect`",
    "GiveUp": "`give_up`",
}  # fmt: skip
SHORT = frozenset(
    (
        "VoiceChoice",
        "ProviderChoice",
        "Destination",
        "Limit",
        "Voicemail",
        "Play",
        "Ring",
        "OnFailure",
        "Collect",
        "Saying",
    )
)  # a text will do
LISTS = frozenset(("CallerList",))  # a list will do


def json_schema() -> dict[str, Any]:
    """The whole schema, JSON Schema 2020-12."""
    schema = DialPlan.model_json_schema()
    schema["$defs"].pop(Routing.__name__)  # what a policy is read into; nobody writes it
    models = {"DialPlan": schema, **schema["$defs"]}
    for name, model in models.items():
        for key, part in model.get("properties", {}).items():
            part.pop("title", None)
            part["description"] = MEANINGS[name][key]
        model.pop("title", None)
    schema["properties"]["version"] = {"description": MEANINGS["DialPlan"]["version"], "enum": [1, "1"]}
    models["ProviderChoice"] |= {
        "additionalProperties": True,
        "required": [],
        "properties": {"provider": {"type": "string", "description": "the provider's name"}},
    }
    as_written: dict[str, Any] = _as_written(schema)
    names = {"anyOf": [as_written["properties"]["trunks"], {"type": "array", "items": {"type": "string"}}]}
    as_written["properties"]["trunks"] = names
    for name, key in (("Calendar", "holidays"), ("Calendar", "closed"), ("Persona", "mcp")):
        part = as_written["$defs"][name]["properties"][key]
        listed = {"type": "array", "items": {"type": "string"}}
        as_written["$defs"][name]["properties"][key] = {"anyOf": [part, listed, {"type": "string"}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Offhook dial plan",
        **as_written,
    }


def _as_written(part: Any) -> Any:
    """Every value may be text, one value stands for a list of it, and a text for what has a short form."""
    if isinstance(part, list):
        return [_as_written(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "properties" in part and isinstance(part["properties"], dict):
        inner = {key: _as_written(value) for key, value in part["properties"].items()}
        rest = {key: _as_written(value) for key, value in part.items() if key != "properties"}
        return {**rest, "properties": inner}
    part = {key: value if key == "default" else _as_written(value) for key, value in part.items()}
    part.pop("default", None)
    kind = part.get("type")
    if "pattern" in part:  # text, which YAML cannot take for anything else
        return part
    if kind in ("integer", "number", "boolean", "string"):
        limits = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        kept = {key: value for key, value in part.items() if key not in (*limits, "type")}
        return {**kept, "type": ["string", "number", "boolean"]} if "enum" not in part else kept
    if kind == "array" and isinstance(part.get("items"), dict):
        described = {"description": part.pop("description")} if "description" in part else {}
        return {**described, "anyOf": [part, part["items"]]}
    if "$ref" in part:
        name = str(part["$ref"]).rpartition("/")[2]
        described = {"description": part.pop("description")} if "description" in part else {}
        text = [{"type": ["string", "number"]}] if name in SHORT | LISTS else []
        listed = [{"type": "array", "items": {"type": "string"}}] if name in LISTS else []
        nothing = [{"type": "null"}] if name in ("TrunkUse",) else []
        return {**described, "anyOf": [part, *text, *listed, *nothing]}
    return part


# ---------------------------------------------------------------- tables


def tables() -> str:
    """Every key, for docs/reference.md."""
    return "\n".join(line for model in MODELS for line in _table(model))


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield f"{PLACES[model.__name__]}:"
    yield ""
    yield "| key | form | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        if name == "routing":
            continue
        key = field.alias or name
        yield f"| `{key}` | {_form_of(field)} | {_default(field)} | {MEANINGS[model.__name__][key]} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}s" if isinstance(value, float) and _form_of(field) == "duration" else str(value)


def _form_of(field: FieldInfo) -> str:
    """A duration is a number with a unit; other numbers have none."""
    form = _form(field.annotation)
    plain = field.annotation is float and not any(isinstance(one, BeforeValidator) for one in field.metadata)
    return "number" if plain else form


def _form(kind: Any) -> str:
    """A type in an admin's words."""
    if get_origin(kind) in (Union, types.UnionType):
        return _form(next(arg for arg in get_args(kind) if arg is not type(None)))
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return "keys, see below"
    words = {
        str: "text",
        bool: "yes, no",
        int: "number",
        float: "duration",
        dict: "name → value",
        tuple: "list",
    }
    return words.get(origin, "text")


def written(reference: str) -> str:
    """docs/reference.md with today's tables."""
    before, _, rest = reference.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}{END}{after}"


def main() -> None:
    """Write both files."""
    SCHEMA.write_text(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    REFERENCE.write_text(written(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

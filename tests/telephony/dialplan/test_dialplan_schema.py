"""The schema for editors and the tables for readers are those of the models, and every shipped plan fits the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from telephony.dialplan.described import MEANINGS
from telephony.dialplan.schema import MODELS, REFERENCE, SCHEMA, json_schema, written

jsonschema: Any = pytest.importorskip("jsonschema")  # comes with the SDK of MCP
ROOT = Path(__file__).parents[3]
PLANS = sorted([*ROOT.glob("dialplans/*.yaml"), *ROOT.glob("examples/*.yaml")])


def test_the_schema_file_is_that_of_the_models() -> None:
    """After a change of the models: `python -m telephony.dialplan.schema`."""
    assert json.loads((ROOT / SCHEMA).read_text(encoding="utf-8")) == json_schema()


def test_the_tables_of_the_reference_are_those_of_the_models() -> None:
    text = (ROOT / REFERENCE).read_text(encoding="utf-8")
    assert written(text) == text


def test_every_key_of_every_model_has_a_meaning_and_no_other_has() -> None:
    keys = {m.__name__: {f.alias or n for n, f in m.model_fields.items()} for m in MODELS}
    assert {name: set(meanings) for name, meanings in MEANINGS.items()} == keys


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_editors_find_nothing_wrong_with_the_shipped_plans(path: Path) -> None:
    plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    errors = list(jsonschema.Draft202012Validator(json_schema()).iter_errors(_plain(plan)))
    assert [f"{list(error.absolute_path)}: {error.message[:200]}" for error in errors] == []


def test_editors_find_a_wrong_key() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    plan = {
        "version": 1,
        "agents": {"a": {"instructions": "x", "handof": ["b"]}},
        "numbers": [{"number": "1"}],
    }
    assert [list(error.absolute_path) for error in validator.iter_errors(plan)] == [["agents", "a"]]


@pytest.mark.parametrize(
    ("part", "good", "bad"),
    [
        ("defaults: {max_call: %s}", ["20m", "'1.5h'", "90s"], ["25", "20 minutes", "-3s"]),
        ("calendars: {c: {open: {mon: %s}}}", ["'08:00-17:30'", "22:00-6.00"], ["10:00", "8-17"]),
        ("calendars: {c: {open: {mon: [%s]}}}", ["08:00-12:00, 13:00-17:00"], ["08:00-12:00, 1pm"]),
    ],
)
def test_editors_know_how_lengths_and_hours_are_written(part: str, good: list[str], bad: list[str]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    frame = "{version: 1, agents: {a: {instructions: x}}, numbers: [{number: '1', agent: a}]}"

    def fits(text: str) -> bool:
        plan = yaml.safe_load(frame) | yaml.safe_load(part % text)
        return bool(validator.is_valid(_plain(plan)))

    assert [text for text in good if not fits(text)] == []
    assert [text for text in bad if fits(text)] == []


def _plain(value: Any) -> Any:
    """As JSON: an editor reads dates and keys as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)

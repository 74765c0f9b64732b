"""What users can set, say, count and read is in docs/reference.md. Only checked prose stays true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from offhook.cli import COMMANDS
from offhook.settings import Settings
from offhook.switch.metrics import Metrics
from pipeline.events import EVENTS
from pipeline.options import Silence, ThinkingSound, TurnHandling
from telephony.dialplan.model import (
    Collect,
    Defaults,
    Destination,
    DialPlan,
    Intent,
    McpChoice,
    NumberRoute,
    Persona,
    Script,
)
from tests import behaviours

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"[A-Za-z_][A-Za-z0-9_.]*", " ".join(re.findall(r"`([^`]+)`", REFERENCE))))


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel) and name != "providers":
            yield from _settings(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("name", sorted(_settings(Settings)))
def test_every_setting_is_in_the_reference_and_its_default_in_the_shipped_file(name: str) -> None:
    assert name in NAMED or any(named.startswith(f"{name}.") for named in NAMED)
    if name != "keys":
        shipped = (ROOT / "config" / "offhook.yaml").read_text(encoding="utf-8")
        assert re.search(rf"\b{name.split('.')[-1]}:", shipped), "show it in config/offhook.yaml"


@pytest.mark.parametrize(
    "model",
    [
        DialPlan,
        Defaults,
        Destination,
        McpChoice,
        Persona,
        NumberRoute,
        Script,
        Intent,
        Collect,
        TurnHandling,
        Silence,
        ThinkingSound,
    ],
)
def test_every_key_of_the_dial_plan_is_in_the_reference(model: type[BaseModel]) -> None:
    assert set(model.model_fields) - NAMED == set()


def test_every_event_is_in_the_reference() -> None:
    switch = [ROOT / "offhook/switch" / name for name in ("reception.py", "consulting.py")]
    ours = set(re.findall(r'"type": "(\w+)"', "".join(path.read_text(encoding="utf-8") for path in switch)))
    assert ours
    assert (set(EVENTS) | ours) - NAMED == set()


def test_every_metric_is_in_the_reference() -> None:
    metrics = {metric.name for metric in Metrics().registry.collect()}
    assert metrics - NAMED == set()


def test_every_command_is_in_the_reference() -> None:
    assert {f"offhook {name}" for name in COMMANDS} - set(re.findall(r"`(offhook \w+)", REFERENCE)) == set()


def test_every_behaviour_of_the_list_has_a_test_and_the_list_names_it() -> None:
    """docs/behaviours.md; after a change of tests: `python -m tests.behaviours`."""
    text = behaviours.DOCUMENT.read_text(encoding="utf-8")
    assert behaviours.rows_of(text) == list(behaviours.ROWS)
    tested = set(behaviours.tests_by_row())
    assert not set(behaviours.ROWS) - tested, "rows without a test"
    assert not tested - set(behaviours.ROWS), "tests that name a row that there is not"
    assert behaviours.written(text) == text, "out of date: python -m tests.behaviours"

"""The vocabulary: every event survives the journal."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pipeline.events import EVENTS, Event, dump, load

SAMPLES: dict[str, Any] = {"float": 1.5, "str": "wörd", "int": 3, "bool": True, "float | None": None}


@pytest.mark.parametrize("kind", EVENTS.values(), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_equal_from_the_journal(kind: type[Event]) -> None:
    event = kind(**{field.name: SAMPLES[str(field.type)] for field in dataclasses.fields(kind)})
    assert load(json.loads(json.dumps(dump(event)))) == event


def test_events_of_another_version_are_no_error() -> None:
    assert load({"type": "FromTheFuture", "at": 1.0}) is None
    assert load({"type": "KeyPressed", "at": 1.0, "digit": "5", "colour": "red"}) is not None

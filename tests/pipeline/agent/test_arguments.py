"""Arguments as models write them: slips are mended, doubt is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.agent.arguments import MAX_CHARS, BadArguments, read_arguments

WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=5)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", {}),
        ('{"day": "friday",}', {"day": "friday"}),
        ('{"days": ["mon", "tue",], }', {"days": ["mon", "tue"]}),
        ("{'day': 'friday', 'name': \"O'Brien\"}", {"day": "friday", "name": "O'Brien"}),
        ('```json\n{"day": "friday"}\n```', {"day": "friday"}),
        ('```\n{"day": "friday",}\n```', {"day": "friday"}),
        (
            "{day: 'friday', ok: True, no: False, what: None}",
            {"day": "friday", "ok": True, "no": False, "what": None},
        ),
        ('{"people": 4, // of them two children\n "day": "fri" /* sic */}', {"people": 4, "day": "fri"}),
        ('"{\\"day\\": \\"friday\\"}"', {"day": "friday"}),
        ('{"note": "first line\nsecond"}', {"note": "first line\nsecond"}),
        ("{'note': 'say \"hi\", it\\'s me'}", {"note": 'say "hi", it\'s me'}),
    ],
)
def test_a_slip_that_leaves_no_doubt_is_mended(written: str, meant: dict[str, Any]) -> None:
    assert read_arguments(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "friday",
        "[1, 2]",
        '"friday"',
        '{"amount": 1',
        '{"amount": 1, "to": "ann',
        "{'name': 'O'Brien'}",
        '{"a": 1 "b": 2}',
        '{"a": 1} and {"b": 2}',
        '{"amount": 1.}',
        '{"amount": 07}',
        '{"day": friday}',
        "{" * 200,
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"a": "' + "x" * MAX_CHARS + '"}',
    ],
)
def test_what_could_mean_something_else_is_refused(written: str) -> None:
    with pytest.raises(BadArguments):
        read_arguments(written)


@given(OBJECTS)
def test_valid_json_means_what_it_says(meant: dict[str, Any]) -> None:
    assert read_arguments(json.dumps(meant)) == meant
    assert read_arguments(json.dumps(json.dumps(meant))) == meant


@given(OBJECTS, st.data())
def test_any_mixture_of_slips_is_mended(meant: dict[str, Any], data: st.DataObject) -> None:
    written = _with_slips(meant, data)
    if data.draw(st.sampled_from(["plain", "fenced"])) == "fenced":
        written = f"```json\n{written}\n```"
    assert read_arguments(written) == meant


@given(OBJECTS, st.data())
def test_half_an_object_is_never_completed(meant: dict[str, Any], data: st.DataObject) -> None:
    """A booking of 1 out of a cut off 100 would be worse than asking again."""
    written = _with_slips(meant, data)
    cut = data.draw(st.integers(1, len(written) - 1))
    with pytest.raises(BadArguments):
        read_arguments(written[:cut])


@given(st.text(max_size=60) | st.text("{}[]'\"`,:\\ /*truefalsn0123", max_size=40))
def test_whatever_a_model_writes_is_read_or_refused(written: str) -> None:
    try:
        assert isinstance(read_arguments(written), dict)
    except BadArguments as error:
        assert "Send" in str(error)


def _with_slips(value: Any, data: st.DataObject) -> str:
    """JSON as a careless model writes it."""
    gap = data.draw(st.sampled_from(["", " ", "\n", " // so\n", "/* so */"]))
    if isinstance(value, dict):
        pairs = [f"{_text(key, data)}:{gap}{_with_slips(item, data)}" for key, item in value.items()]
        return "{" + gap + _listed(pairs, data) + "}"
    if isinstance(value, list):
        return "[" + _listed([_with_slips(item, data) for item in value], data) + gap + "]"
    if isinstance(value, str):
        return _text(value, data)
    if value is None or isinstance(value, bool):
        return data.draw(st.sampled_from([str(value), json.dumps(value)]))
    return json.dumps(value)


def _text(text: str, data: st.DataObject) -> str:
    if data.draw(st.sampled_from(["double", "single"])) == "double":
        return json.dumps(text, ensure_ascii=False)
    return "'" + json.dumps(text)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _listed(parts: list[str], data: st.DataObject) -> str:
    return ", ".join(parts) + (data.draw(st.sampled_from(["", ","])) if parts else "")

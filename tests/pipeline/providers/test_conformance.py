"""Every provider keeps the contract: each check of pipeline.testing.conformance on each of them.

To add one, add a row to SUBJECTS: an async context manager that starts what it needs (its test server, as difficulties)
and yields a Subject. Then `python -m tests.pipeline.providers.tables` brings docs/providers.md up to date."""

from __future__ import annotations

import pytest

from pipeline.providers.registry import LIVEKIT, describe
from pipeline.testing.conformance import Check, checks_for, examine
from tests.pipeline.providers import tables
from tests.pipeline.providers.subjects import SUBJECTS

PAIRS = [
    pytest.param(name, check, id=f"{name}-{check.kind}-{check}")
    for (kind, name) in SUBJECTS
    for check in checks_for(kind)
]


@pytest.mark.parametrize(("name", "check"), PAIRS)
async def test_a_provider_keeps_the_contract(name: str, check: Check) -> None:
    async with SUBJECTS[check.kind, name]() as subject:
        (await examine(subject, check)).must_pass()


def test_the_tables_of_the_document_are_those_of_the_code() -> None:
    """docs/providers.md, after a change: python -m tests.pipeline.providers.tables."""
    text = tables.DOCUMENT.read_text(encoding="utf-8")
    assert tables.written(text) == text, "out of date: python -m tests.pipeline.providers.tables"


def test_only_providers_that_there_are_have_a_row() -> None:
    known = {(row.kind, row.name) for row in describe()}
    listed = {key for key in SUBJECTS if key[1] not in tables.NOT_REGISTERED}
    assert {key for key in listed if not key[1].startswith(LIVEKIT)} <= known

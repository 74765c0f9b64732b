"""The index of calls says what the bundles say, and can be thrown away."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from offhook.bundle import Bundle, iso
from offhook.console.records import Records, as_dict, beside, percentile
from offhook.errors import AmbiguousCall, BundleError, NoSuchCall, RecordsError

PLAN = {"name": "demo", "version": "7"}
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CONVERSATION: list[dict[str, Any]] = [
    {"type": "AgentEntered", "at": 10.0, "agent": "reception"},
    {"type": "AgentStartedSpeaking", "at": 10.1, "agent": "reception", "response_delay_ms": None},
    {"type": "AgentSpoke", "at": 12.0, "agent": "reception", "text": "Hello.", "interrupted": False},
    {"type": "UserTurnCommitted", "at": 14.0, "text": "sales", "understood": True},
    {"type": "AgentEntered", "at": 14.2, "agent": "sales", "came_from": "reception"},
    {"type": "AgentStartedSpeaking", "at": 14.5, "agent": "sales", "response_delay_ms": 700.0},
    {"type": "CallerInterrupted", "at": 15.0, "spoke_since": 14.9, "heard_ms": 500},
    {"type": "AgentSpoke", "at": 15.0, "agent": "sales", "text": "Sales", "interrupted": True},
    {"type": "UserTurnCommitted", "at": 17.0, "text": "thanks", "understood": False},
    {"type": "RecogniserUsed", "at": 17.0, "provider": "pocketsphinx", "seconds": 7.5},
    {"type": "AgentStartedSpeaking", "at": 17.4, "agent": "sales", "response_delay_ms": 300.0},
]


def write_call(root: Path, call_id: str, *, minute: int = 0, over: bool = True) -> Path:
    """A bundle as the switch leaves it; `over=False`: as a killed switch leaves it."""
    started = NOON + timedelta(minutes=minute)
    facts = {
        "direction": "inbound",
        "caller": "+15550100",
        "called": "100",
        "plan": {"name": "demo", "version": "7"},
    }
    with Bundle.create(root, call_id, started, facts) as bundle:
        for event in CONVERSATION:
            bundle.append(event, at=event["at"], wall=started)
        if over:
            ended = iso(started + timedelta(seconds=9))
            outcome = {"ended": ended, "answered_after_s": 1.0, "duration_s": 8.0, "ended_by": "caller"}
            bundle.close(outcome | {"code": 200, "cause": "bye"})
    return bundle.path


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    async with Records.open(beside(tmp_path)) as records:
        yield records


async def test_a_call_is_indexed_with_its_detail_record(tmp_path: Path, records: Records) -> None:
    """Who, when, how long, how it ended, and how the conversation went."""
    path = write_call(tmp_path, "c1")
    (path / "audio.wav").write_bytes(b"RIFF")
    await records.index(path)
    assert as_dict(await records.find("c1")) == {
        "id": "c1",
        "direction": "inbound",
        "caller": "+15550100",
        "called": "100",
        "agent": "reception",
        "plan": "demo 7",
        "started_at": "2026-03-04T12:00:00.000Z",
        "answered_at": "2026-03-04T12:00:01.000Z",
        "ended_at": "2026-03-04T12:00:09.000Z",
        "duration_s": 8.0,
        "ended_by": "caller",
        "code": 200,
        "cause": "bye",
        "turns": 2,
        "interruptions": 1,
        "handoffs": 1,
        "response_p50_ms": 300.0,
        "response_p95_ms": 700.0,
        "usage": {"recognisers": {"pocketsphinx": 7.5}},
        "recording": str(path / "audio.wav"),
        "arms": "",
        "bundle": str(path),
    }


async def test_the_transcript_is_what_the_journal_says(tmp_path: Path, records: Records) -> None:
    """In order, with what was not understood and what was cut off."""
    await records.index(write_call(tmp_path, "c1"))
    said = [
        (row.at, row.speaker, row.text, row.interrupted, row.understood)
        for row in await records.transcript("c1")
    ]
    assert said == [
        (0.1, "reception", "Hello.", False, True),
        (4.0, "caller", "sales", False, True),
        (4.5, "sales", "Sales", True, True),
        (7.0, "caller", "thanks", False, False),
    ]


async def test_indexing_twice_changes_nothing(tmp_path: Path, records: Records) -> None:
    """The switch may tell of a call that catching up has found already."""
    path = write_call(tmp_path, "c1")
    await records.index(path)
    calls, said = await records.recent(), await records.transcript("c1")
    await records.index(path)
    assert [as_dict(call) for call in await records.recent()] == [as_dict(call) for call in calls]
    assert [as_dict(line) for line in await records.transcript("c1")] == [as_dict(line) for line in said]


async def test_a_call_cut_short_by_a_crash_is_listed_without_an_end(tmp_path: Path, records: Records) -> None:
    """Its length is what the journal covers."""
    await records.index(write_call(tmp_path, "c1", over=False))
    call = await records.find("c1")
    assert (call.ended_at, call.duration_s, call.turns) == (None, 7.4, 2)


async def test_catching_up_takes_the_missing_and_the_unfinished(tmp_path: Path, records: Records) -> None:
    """A call that was going on at the last look is looked at again; a finished one is not."""
    finished = write_call(tmp_path, "done")
    going_on = write_call(tmp_path, "live", over=False)
    assert await records.catch_up(tmp_path) == []
    (going_on / "call.json").write_text('{"ended": "2026-03-04T12:01:00.000Z", "ended_by": "agent"}')
    (finished / "call.json").write_text('{"ended": "2026-03-04T12:01:00.000Z", "ended_by": "nobody"}')
    write_call(tmp_path, "new")
    assert await records.catch_up(tmp_path) == []
    assert (await records.find("live")).ended_by == "agent"
    assert (await records.find("done")).ended_by == "caller"
    assert (await records.find("new")).ended_by == "caller"


async def test_one_bad_bundle_does_not_hide_the_others(tmp_path: Path, records: Records) -> None:
    """It is named, with what is wrong."""
    bad = write_call(tmp_path, "a-bad")
    write_call(tmp_path, "b-good")
    (bad / "call.json").write_text("{")
    problems = await records.catch_up(tmp_path)
    assert len(problems) == 1
    assert f"{bad}/call.json: is not JSON" in problems[0]
    assert [call.id for call in await records.recent()] == ["b-good"]


@pytest.mark.parametrize(
    "facts",
    [
        '{"code": "busy"}',
        '{"duration_s": []}',
        '{"ended": 5}',
        '{"answered_after_s": "soon"}',
        '{"plan": "demo"}',
        '{"code": 99999999999999999999}',
    ],
)
async def test_facts_of_the_wrong_kind_are_an_error_with_the_file_in_it(
    tmp_path: Path, records: Records, facts: str
) -> None:
    """A file that somebody edited by hand must not stop the index."""
    path = write_call(tmp_path, "c1")
    (path / "call.json").write_text(facts)
    with pytest.raises(BundleError, match=str(path)):
        await records.index(path)
    assert len(await records.catch_up(tmp_path)) == 1


async def test_rebuilding_forgets_calls_whose_bundles_are_gone(tmp_path: Path, records: Records) -> None:
    """A deleted bundle is a deleted call, for the sake of those who asked for it."""
    gone = write_call(tmp_path, "gone")
    write_call(tmp_path, "kept")
    await records.catch_up(tmp_path)
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    await records.rebuild(tmp_path)
    assert [call.id for call in await records.recent()] == ["kept"]
    assert list(await records.transcript("gone")) == []


async def test_the_newest_calls_come_first(tmp_path: Path, records: Records) -> None:
    """By when they began, not by id or order of indexing."""
    for call_id, minute in (("b", 1), ("c", 0), ("a", 2)):
        write_call(tmp_path, call_id, minute=minute)
    await records.catch_up(tmp_path)
    assert [call.id for call in await records.recent(limit=2)] == ["a", "b"]


async def test_a_call_is_found_by_the_beginning_of_its_id(tmp_path: Path, records: Records) -> None:
    """An id that is whole wins over one that goes on; wildcards of SQL are letters like any other."""
    for call_id in ("ab", "abc", "x_1", "xy1"):
        write_call(tmp_path, call_id)
    await records.catch_up(tmp_path)
    assert (await records.find("ab")).id == "ab"
    assert (await records.find("abc")).id == "abc"
    assert (await records.find("x_")).id == "x_1"
    with pytest.raises(AmbiguousCall, match="several ids: ab, abc. Give more"):
        await records.find("a")
    for nothing in ("zz", "", "%", "b"):
        with pytest.raises(NoSuchCall, match="no call has the id"):
            await records.find(nothing)


async def test_an_index_of_an_older_version_is_filled_anew(tmp_path: Path) -> None:
    """No migrations: the bundles are the record."""
    write_call(tmp_path, "c1")
    database = tmp_path / "index.sqlite"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE calls (id TEXT, what_we_had_before INTEGER)")
    connection.execute("INSERT INTO calls VALUES ('old', 1)")
    connection.commit()
    connection.close()
    async with Records.open(beside(tmp_path)) as records:
        await records.catch_up(tmp_path)
        assert [call.id for call in await records.recent()] == ["c1"]
    async with Records.open(beside(tmp_path)) as again:
        assert [call.id for call in await again.recent()] == ["c1"]


async def test_console_and_command_line_may_write_at_the_same_time(tmp_path: Path, records: Records) -> None:
    """Two openings of one file, as two processes have them."""
    paths = [write_call(tmp_path, f"c{number}") for number in range(4)]
    async with Records.open(beside(tmp_path)) as other:
        for path in paths:
            await records.index(path)
            await other.index(path)
        assert len(await other.recent()) == len(await records.recent()) == 4


@pytest.mark.parametrize("database", ["offhook.db", "postgresql://localhost/offhook", "sqlite://"])
async def test_a_database_that_is_not_a_file_is_refused(database: str) -> None:
    """With what to write instead."""
    with pytest.raises(RecordsError, match="Write sqlite:///var/offhook.db"):
        async with Records.open(database):
            pass


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The remedy is to delete it: nothing is lost."""
    (tmp_path / "index.sqlite").write_bytes(b"no database at all, but long enough" * 50)
    with pytest.raises(RecordsError, match="index.sqlite: cannot be opened: file is not a database"):
        async with Records.open(beside(tmp_path)):
            pass


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: no delay is shown that no caller waited."""
    assert percentile([], 50) is None
    assert percentile([3.0], 95) == 3.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([float(value) for value in range(1, 101)], 95) == 95.0

"""The call records: an SQL index over the bundles, for lists, look-ups and reports.

Not the record itself: that is the bundle (`offhook/bundle.py`). Whatever is in here can be thrown away and
rebuilt from the bundles, so a change of the tables needs no migration. Driven by the console process and by
`offhook calls`; the switch never imports it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import JSON, URL, ForeignKey, Index, delete, event, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from offhook.bundle import FACTS, Record, bundles, iso, number, transcript
from offhook.errors import AmbiguousCall, BundleError, NoSuchCall, RecordsError
from offhook.usage import Tally

TABLES_VERSION = (
    3  # raise it when a table changes: an older file is emptied and filled again from the bundles
)


class Table(DeclarativeBase):
    """Base of the tables below."""


class Call(Table):
    """One call's detail record (CDR). Times are ISO 8601 UTC, as in the bundle; delays are in ms.

    ended_at is None while the call lasts, and for ever if the server died during it; duration_s is then what
    the journal covers. turns: what the caller said that was owed an answer. usage: what its providers took (usage.py).
    arms: what a split of providers drew.
    """

    __tablename__ = "calls"

    id: Mapped[str] = mapped_column(primary_key=True)
    direction: Mapped[str]
    caller: Mapped[str]
    called: Mapped[str]
    agent: Mapped[str]
    plan: Mapped[str]
    started_at: Mapped[str]
    answered_at: Mapped[str | None]
    ended_at: Mapped[str | None]
    duration_s: Mapped[float]
    ended_by: Mapped[str]
    code: Mapped[int]
    cause: Mapped[str]
    turns: Mapped[int]
    interruptions: Mapped[int]
    handoffs: Mapped[int]
    response_p50_ms: Mapped[float | None]
    response_p95_ms: Mapped[float | None]
    usage: Mapped[dict[str, Any]] = mapped_column(JSON)
    recording: Mapped[str | None]
    arms: Mapped[str] = mapped_column(default="")
    bundle: Mapped[str]

    __table_args__ = (Index("calls_newest", "started_at", "id"),)


class Said(Table):
    """One line of a call's transcript. at: seconds since the call's first event."""

    __tablename__ = "transcript"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    speaker: Mapped[str]
    text: Mapped[str]
    interrupted: Mapped[bool]
    understood: Mapped[bool]


class Records:
    """An open index. Cancelling a method leaves each call indexed as before or anew, never in between."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._session = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, database: str) -> AsyncIterator[Records]:
        """Open or create the index; two processes may have it open at once.

        database: a SQLAlchemy URL, for now `sqlite:///file`. Raises RecordsError if it cannot be opened."""
        url = _sqlite_url(database)
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        try:
            try:
                await asyncio.to_thread(Path(str(url.database)).parent.mkdir, parents=True, exist_ok=True)
                await _make_tables(engine)
            except (OSError, DatabaseError) as error:
                why = error.orig if isinstance(error, DatabaseError) else error
                raise RecordsError(
                    f"{database}: cannot be opened: {why}. Mend `database` in the settings; or delete the "
                    "file: it is only an index and is filled again from the bundles"
                ) from error
            yield cls(engine)
        finally:
            await engine.dispose()

    async def index(self, path: Path) -> None:
        """Take in the bundle in folder `path`, or take it in anew. Raises BundleError if there is none."""
        call, said = await asyncio.to_thread(_read, path)
        async with self._session.begin() as session:
            await session.execute(delete(Said).where(Said.call_id == call.id))
            await session.merge(call)
            session.add_all(said)

    async def catch_up(self, calls_dir: Path) -> list[str]:
        """Index every bundle that is missing here or was unfinished when it was indexed.

        Returns what could not be read, in words; one bad bundle does not hide the others."""
        async with self._session() as session:
            done = set(await session.scalars(select(Call.id).where(Call.ended_at.is_not(None))))
        problems = []
        for path in await asyncio.to_thread(lambda: list(bundles(calls_dir))):
            if path.name not in done:
                try:
                    await self.index(path)
                except BundleError as error:
                    problems.append(str(error))
        return problems

    async def rebuild(self, calls_dir: Path) -> list[str]:
        """Forget everything and index all bundles again. Returns what could not be read, in words."""
        async with self._session.begin() as session:
            await session.execute(delete(Said))
            await session.execute(delete(Call))
        return await self.catch_up(calls_dir)

    async def recent(self, limit: int = 20) -> Sequence[Call]:
        """The newest calls, newest first."""
        async with self._session() as session:
            newest = select(Call).order_by(Call.started_at.desc(), Call.id.desc()).limit(limit)
            return (await session.scalars(newest)).all()

    async def find(self, id: str) -> Call:
        """The call with this id, or the only one whose id begins so. Raises NoSuchCall or AmbiguousCall."""
        async with self._session() as session:
            if call := await session.get(Call, id):
                return call
            # Prefixes are few: ids hold no wildcard that autoescape would miss.
            like = select(Call).where(Call.id.startswith(id, autoescape=True)).order_by(Call.id).limit(6)
            found = (await session.scalars(like)).all() if id else []
        if not found:
            raise NoSuchCall(f"no call has the id {id!r}. `offhook calls` lists the ids")
        if len(found) > 1:
            some = ", ".join(call.id for call in found[:5]) + (", ..." if len(found) > 5 else "")
            raise AmbiguousCall(f"{id!r} is the beginning of several ids: {some}. Give more of it")
        return found[0]

    async def transcript(self, call_id: str) -> Sequence[Said]:
        """What was said on the call, in order."""
        async with self._session() as session:
            lines = select(Said).where(Said.call_id == call_id).order_by(Said.number)
            return (await session.scalars(lines)).all()


def as_dict(row: Call | Said) -> dict[str, Any]:
    """A row as plain values, column by column."""
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def beside(calls_dir: Path) -> str:
    """The database for a folder of calls that no settings speak of."""
    return f"sqlite:///{calls_dir / 'index.sqlite'}"


def _sqlite_url(database: str) -> URL:
    try:
        url = make_url(database)
    except ArgumentError:
        raise RecordsError(f"database {database!r} is no URL. Write sqlite:///var/offhook.db") from None
    if url.get_backend_name() != "sqlite" or not url.database:
        raise RecordsError(f"database {database!r} is not supported yet. Write sqlite:///var/offhook.db")
    return url.set(drivername="sqlite+aiosqlite")


def _set_up_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Let console and command line work on the file at the same time."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


async def _make_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        version = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
        if version != TABLES_VERSION:
            await connection.run_sync(Table.metadata.drop_all)
            await connection.exec_driver_sql(f"PRAGMA user_version = {TABLES_VERSION}")
        await connection.run_sync(Table.metadata.create_all)


def _read(path: Path) -> tuple[Call, list[Said]]:
    """The rows of one bundle."""
    record = Record.read(path)
    said = [
        Said(call_id=record.id, number=index, **line._asdict())
        for index, line in enumerate(transcript(record))
    ]
    return _detail_record(record), said


class PlanFacts(BaseModel):
    """Which dial plan sent the call where it went."""

    model_config = ConfigDict(strict=True)

    name: str = ""
    version: str | int = ""


class Facts(BaseModel):
    """What is taken from call.json: absent is fine, of the wrong kind is not, other keys do not matter."""

    model_config = ConfigDict(strict=True)

    direction: str = ""
    caller: str = ""
    called: str = ""
    agent: str = ""
    plan: PlanFacts = PlanFacts()
    started: str = ""
    answered_after_s: float | None = Field(None, ge=0, lt=1e6)
    ended: str | None = None
    duration_s: float | None = Field(None, ge=0, lt=1e9)
    ended_by: str = ""
    code: int = Field(0, ge=0, le=699)
    cause: str = ""


def _detail_record(record: Record) -> Call:
    try:
        facts = Facts.model_validate(record.facts)
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise BundleError(f"{record.path / FACTS}: {what}. Mend it, or move {record.path} away") from None
    events = [
        event for event in record.events if event.get("line") != "consultation"
    ]  # a colleague is no caller
    delays = sorted(
        delay
        for row in events
        if row["type"] == "AgentStartedSpeaking"
        and (delay := number(row.get("response_delay_ms"))) is not None
    )
    entered = [row for row in events if row["type"] == "AgentEntered"]
    covered_s = events[-1]["at"] - events[0]["at"] if events else 0.0
    return Call(
        id=record.id,
        direction=facts.direction,
        caller=facts.caller,
        called=facts.called,
        agent=facts.agent or (str(entered[0].get("agent", "")) if entered else ""),
        plan=" ".join(str(part) for part in (facts.plan.name, facts.plan.version) if part),
        started_at=facts.started,
        answered_at=_later(facts.started, facts.answered_after_s),
        ended_at=facts.ended,
        duration_s=round(covered_s if facts.duration_s is None else facts.duration_s, 3),
        ended_by=facts.ended_by,
        code=facts.code,
        cause=facts.cause,
        turns=_count(events, "UserTurnCommitted"),
        interruptions=_count(events, "CallerInterrupted"),
        handoffs=sum(bool(row.get("came_from")) for row in entered),
        response_p50_ms=percentile(delays, 50),
        response_p95_ms=percentile(delays, 95),
        usage=Tally(record.events).facts(),
        recording=str(record.audio_path) if record.audio_path else None,
        arms=_arms(events),
        bundle=str(record.path),
    )


def _arms(events: Sequence[dict[str, Any]]) -> str:
    """`llm groq, tts acme`: each once, however often an agent took over."""
    drawn = [row for row in events if row["type"] == "ProviderChosen" and row.get("policy") == "split"]
    return ", ".join(dict.fromkeys(f"{row.get('kind')} {row.get('provider')}" for row in drawn))


def _later(moment: str, after_s: float | None) -> str | None:
    if after_s is None:
        return None
    try:
        return iso(datetime.fromisoformat(moment) + timedelta(seconds=after_s))
    except ValueError:  # edited by hand
        return None


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest-rank percentile of values in ascending order; None if there are none."""
    if not ordered:
        return None
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def _count(events: Sequence[dict[str, Any]], kind: str) -> int:
    return sum(row["type"] == kind for row in events)

"""The day it is: the machine's, unless somebody tells another one for a call."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone

from pipeline import wall_clock
from pipeline.agent.tasks import AskDate

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))


def test_without_a_teller_it_is_what_the_machine_says() -> None:
    before = datetime.now(UTC)
    assert before <= wall_clock.now() <= datetime.now(UTC)
    assert wall_clock.now(TOKYO).utcoffset() == timedelta(hours=9)


async def test_a_call_is_told_its_own_time_and_no_other_call() -> None:
    """Tasks that are begun on the call are told too; what runs beside it is not."""

    async def asked() -> date:
        return wall_clock.today(TOKYO)

    with wall_clock.telling(lambda: NOON + timedelta(hours=4)):
        assert wall_clock.now(TOKYO).hour == 1
        on_the_call = asyncio.create_task(asked())
    assert await on_the_call == date(2026, 3, 5)
    assert await asyncio.create_task(asked()) != date(2026, 3, 5)


def test_a_task_reckons_from_the_day_of_the_call() -> None:
    with wall_clock.telling(lambda: NOON):
        task = AskDate(tz=UTC)
        assert task.today == date(2026, 3, 4)
        assert "2026-03-04" in task.instructions

"""A plan's own tests: calls that its author has thought about, asked of the plan itself. Pure.

A failed one is a problem at its line, with the answer and the reason. Driven by the command line, and before a plan is
taken into use."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from telephony.dialplan.condition import CallFacts
from telephony.dialplan.document import Problem, Spot
from telephony.dialplan.explain import explain
from telephony.dialplan.match import Decision, Plan, decide
from telephony.dialplan.model import PlanTest


def failed_tests(plan: Plan) -> list[Problem]:
    """The tests of a plan that do not come out as they should."""
    return [problem for problem in tried_tests(plan) if problem is not None]


def tried_tests(plan: Plan) -> list[Problem | None]:
    """What is wrong with each test of a plan, at what it expects; None where the call goes there."""
    return [
        _tried(plan, test, path, spot)
        for test, (path, spot) in zip(plan.spec.tests, plan.test_places, strict=True)
    ]


def _tried(plan: Plan, test: PlanTest, path: str, spot: Spot) -> Problem | None:
    try:
        facts = facts_of(plan, test)
    except ValueError as error:
        return Problem(path, spot.line, spot.column, str(error))
    decision = decide(plan, facts)
    if test.expect in answers(decision):
        return None
    why = "\n  ".join(str(explain(plan, facts)).splitlines())
    fact = (
        f"{test.call} goes to {answers(decision)[0]}, not {test.expect}. Mend the plan or the test.\n  {why}"
    )
    return Problem(path, spot.line, spot.column, fact)


def facts_of(plan: Plan, test: PlanTest) -> CallFacts:
    """The call that a test means. Raises ValueError for a time that is none."""
    at = when(test.at, plan.spec.timezone) if test.at else None
    headers = {name.lower(): value for name, value in test.headers.items()}
    return CallFacts(test.call, test.caller, test.trunk, headers, at, call_id=test.call_id)


def when(text: str, timezone: str | None) -> datetime:
    """`2026-12-24 10:00` on the plan's clock; a time with an offset is taken as it is. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time. Write it like 2026-12-24 10:00.") from None
    zone = ZoneInfo(timezone) if timezone else UTC
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def answers(decision: Decision) -> tuple[str, ...]:
    """What a test may call this: who takes the call, the SIP status, or where the caller is sent."""
    if decision.route is not None:
        return (decision.taker,)
    return (*decision.redirect, str(decision.code))

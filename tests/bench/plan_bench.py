"""How long a dial plan of a hundred thousand numbers takes to load, and a call to be routed by it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from offhook.switch.reloading import quiet_heap
from telephony.dialplan.condition import CallFacts
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import decide
from telephony.dialplan.parcel import Unpacking, pack
from tests.bench.table import Row

NUMBERS = 100_000
CALLS = 20_000


def measure() -> list[Row]:
    """Three rows. Every twentieth number has routes by caller and calendar."""
    text = _plan().encode()
    started = time.perf_counter()
    plan = parse_plan(text)
    load_s = time.perf_counter() - started
    at = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
    calls = [CallFacts(f"+4989{i * 5 % NUMBERS:07d}", f"+4917{i:07d}", at=at) for i in range(CALLS)]
    started = time.perf_counter()
    for call in calls:
        decide(plan, call)
    route_us = (time.perf_counter() - started) / CALLS * 1e6
    unpacking, longest_ms = Unpacking(), 0.0
    with quiet_heap():
        for piece in pack(plan):
            started = time.perf_counter()
            unpacking.take(piece)
            longest_ms = max(longest_ms, (time.perf_counter() - started) * 1e3)
    return [
        Row(f"dial plan of {NUMBERS:,} numbers, load and check", f"{load_s:.2f} s", "≤ 3 s", load_s <= 3.0),
        Row("  routing of one call by it", f"{route_us:.0f} µs", "≤ 50 µs", route_us <= 50.0),
        Row(
            "  a change to it: the switch's longest step",
            f"{longest_ms:.1f} ms",
            "≤ 20 ms",
            longest_ms <= 20.0,
        ),
    ]


def _plan() -> str:
    head = (
        "version: 1\ntimezone: Europe/Berlin\nlists: {vip: ['+49171*']}\n"
        "calendars: {office: {open: {mon-fri: '08:00-18:00'}}}\n"
        "agents: {desk: {instructions: x}, night: {instructions: x}}\nnumbers:\n"
    )
    routes = "routes: [{when: {caller: vip}, agent: desk}, {when: {calendar: office}, agent: desk}, {agent: night}]"
    return head + "".join(
        f'  - {{number: "+4989{i:07d}", {routes if i % 20 == 0 else "agent: desk"}}}\n'
        for i in range(NUMBERS)
    )


if __name__ == "__main__":
    for row in measure():
        print(row)

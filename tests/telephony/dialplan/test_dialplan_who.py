"""`who`, the router, and a router made of paper agree on any plan and call, on days too when clocks are changed."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from telephony.dialplan.condition import CallFacts, Load
from telephony.dialplan.document import FileProblems
from telephony.dialplan.explain import explain
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import decide
from telephony.dialplan.trial import answers
from tests.telephony.dialplan.plain_router import PlainRouter
from tests.telephony.dialplan.plans_at_random import DIALLED, FITTING, Asked, calls, plans

EXAMPLES = int(os.environ.get("WHO_PLANS", "100"))  # 2500 plans of 40 calls are a hundred thousand
CALLS = 40


def test_who_and_the_router_say_what_the_yaml_says() -> None:
    """Callers, trunks with numbers of their own form, headers, languages, hours, load, limits, splits, redirects."""
    kinds: Counter[str] = Counter()
    asked_in_all = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # the plan is short enough to be read
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(
        text=plans(everything=True),
        asked=st.lists(calls(), min_size=CALLS, max_size=CALLS),
        load=st.lists(st.integers(0, 3), min_size=3 * len(DIALLED), max_size=3 * len(DIALLED)),
    )
    def agree(text: str, asked: list[Asked], load: list[int]) -> None:
        nonlocal asked_in_all
        plan = None
        with suppress(FileProblems):
            plan = parse_plan(text.encode())
        assume(plan is not None)
        assert plan is not None
        paper = PlainRouter(text)
        names = [rule["number"] for rule in paper.plan["numbers"]]
        busy = dict(zip(names, load, strict=False))
        for at, anybody in enumerate(asked):
            call = anybody if at % 8 == 0 else replace(anybody, number=FITTING[names[at % len(names)]])
            who = {name: paper._e164(call.caller, call.trunk) for name in names}
            recent = {(name, who[name]): load[-n] for n, name in enumerate(names, 1) if who[name]}
            going_on = Load(call.load, busy, recent)
            facts = CallFacts(
                call.number, call.caller, call.trunk, call.headers, call.at, going_on, f"{at} {call.at}"
            )
            expected = paper.answer(call, facts.call_id, busy, recent)
            decision, told = decide(plan, facts), explain(plan, facts)
            assert answers(decision)[0] == expected, f"{call}\n{told}\n{text}"
            assert (told.agent, told.code, told.redirect, told.line) == (
                decision.taker, 0 if decision.route else decision.code, decision.redirect, decision.line,
            )  # fmt: skip
            kinds[expected] += 1
            asked_in_all += 1

    agree()
    print(f"{asked_in_all} calls: {dict(kinds)}")
    assert asked_in_all >= EXAMPLES * CALLS
    assert {"a", "b", "c", "box", "404", "486", "sip:x@pbx.example", "sip:night@pbx.example"} <= set(kinds)

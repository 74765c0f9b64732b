"""Why a call goes where it goes: each rule and branch tried, in order, with the reason it did not fit. Pure.

The decision itself is match.decide's, the same that routes live calls."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.dialplan.condition import CallFacts
from telephony.dialplan.match import Decision, Plan, Tried, decide

SHOWN = 20  # rules that did not fit are listed up to here; a plan may have a hundred thousand


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a call. agent: an agent or target, empty if refused or sent elsewhere. redirect: where to. line:
    of the deciding rule or branch, 0 if there was none."""

    called: str
    agent: str
    code: int
    line: int
    tried: tuple[Tried, ...]
    redirect: tuple[str, ...] = ()
    arm: str = ""

    def __str__(self) -> str:
        ends = f"agent {self.agent}" if self.agent else f"refused with {self.code}"
        if self.redirect:
            ends = f"sent to {', '.join(self.redirect)}"
        head = (
            f"{self.called}: {ends} (line {self.line})"
            if self.line
            else f"{self.called}: no rule, {self.code}"
        )
        return "\n".join(
            [head, *(f"  line {t.line} {t.number}: {t.why or 'takes the call'}" for t in self.tried)]
        )


def explain(plan: Plan, call: CallFacts | str) -> Explanation:
    """The same answer as match.match, with reasons. Refusal is an answer here, not an error."""
    facts = call if isinstance(call, CallFacts) else CallFacts(call)
    asked: list[Tried] = []
    decision = decide(plan, facts, asked)
    tried = (*_passed_over(plan, decision), *asked)
    route = decision.route
    if route is None:
        return Explanation(decision.number, "", decision.code, decision.line, tried, decision.redirect)
    return Explanation(decision.number, decision.taker, 0, decision.line, tried, arm=route.arm)


def _passed_over(plan: Plan, decision: Decision) -> list[Tried]:
    """The rules that come before the one that took the call, and why they did not."""
    winner, number = decision.rule, decision.number
    tried: list[Tried] = []
    for priority, index in plan.indexes:
        if winner is not None and index.exact.get(number) is winner:
            break
        if index.exact:
            tried.append(Tried(0, "exact", f"{len(index.exact)} exact numbers, none is {number}"))
        for rule in index.in_order():
            if rule is winner or len(tried) >= SHOWN:
                return tried
            tried.append(Tried(rule.line, rule.action.number, rule.pattern.mismatch(number)))
        if winner is not None and priority == winner.action.priority:
            break
    return tried

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
    of the deciding rule or branch, 0 if there was none; reason: why not. arm: of a split. kind: agent or target."""

    called: str
    agent: str
    code: int
    line: int
    tried: tuple[Tried, ...]
    redirect: tuple[str, ...] = ()
    arm: str = ""
    kind: str = ""
    reason: str = ""

    def __str__(self) -> str:
        ends = f"{self.kind} {self.agent}" if self.agent else f"refused with {self.code}"
        if self.redirect:
            ends = f"sent to {', '.join(self.redirect)}"
        where = f"line {self.line}, split {self.arm}" if self.arm else f"line {self.line}"
        head = f"{self.called}: {ends} ({where})" if self.line else f"{self.called}: {ends}. {self.reason}"
        return "\n".join([head, *map(_shown, self.tried)])


def _shown(tried: Tried) -> str:
    if not tried.line:  # many rules in one line
        return f"  {tried.why}"
    return f"  line {tried.line} {tried.number}: {tried.why or 'takes the call'}"


def explain(plan: Plan, call: CallFacts | str) -> Explanation:
    """The same answer as match.match, with reasons. Refusal is an answer here, not an error."""
    facts = call if isinstance(call, CallFacts) else CallFacts(call)
    asked: list[Tried] = []
    decision = decide(plan, facts, asked)
    tried = (*_passed_over(plan, decision), *asked)
    route = decision.route
    if route is None:
        why = "" if decision.rule else decision.reason
        return Explanation(
            decision.number, "", decision.code, decision.line, tried, decision.redirect, reason=why
        )
    kind = "target" if decision.taker in plan.spec.targets else "agent"
    return Explanation(decision.number, decision.taker, 0, decision.line, tried, arm=route.arm, kind=kind)


def _passed_over(plan: Plan, decision: Decision) -> list[Tried]:
    """The rules that come before the one that took the call, and why they did not."""
    winner, number = decision.rule, decision.number
    if winner is None and next(plan.rules(number), None) is not None:
        return []  # its trunk is not served
    tried: list[Tried] = []
    for priority, index in plan.indexes:
        if winner is not None and index.exact.get(number) is winner:
            break
        if index.exact:
            tried.append(
                Tried(
                    0,
                    "exact",
                    f"{len(index.exact)} exact {'number' if len(index.exact) == 1 else 'numbers'}, none is {number}",
                )
            )
        for rule in index.in_order():
            if rule is winner or len(tried) >= SHOWN:
                return tried
            tried.append(Tried(rule.line, rule.action.number, rule.pattern.mismatch(number)))
        if winner is not None and priority == winner.action.priority:
            break
    return tried

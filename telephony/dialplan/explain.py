"""Why a number goes where it goes: each rule tried, in order, with the reason it did not fit. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.dialplan.match import Plan
from telephony.dialplan.number import normalise

SHOWN = 20  # rules that did not fit are listed up to here; a plan may have a hundred thousand


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule that was considered. why: empty for the rule that took the call."""

    line: int
    number: str
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a number. agent: empty if refused or sent elsewhere. redirect: where to. line: of the
    deciding rule, 0 if there was none."""

    called: str
    agent: str
    code: int
    line: int
    tried: tuple[Tried, ...]
    redirect: tuple[str, ...] = ()

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


def explain(plan: Plan, called: str) -> Explanation:
    """The same answer as match.match, with reasons. Refusal is an answer here, not an error."""
    number = normalise(called)
    winner = plan.index.find(number)
    tried: list[Tried] = []
    if winner is None or winner.pattern.exact is None:
        for rule in plan.index.in_order():
            if rule is winner or len(tried) >= SHOWN:
                break
            tried.append(Tried(rule.line, rule.action.number, rule.pattern.mismatch(number)))
        exact = len(plan.index.exact)
        if exact:
            tried.insert(0, Tried(0, "exact", f"{exact} exact numbers, none is {number}"))
    if winner is None:
        return Explanation(number, "", 404, 0, tuple(tried))
    action = winner.action
    tried.append(Tried(winner.line, action.number, ""))
    code = 302 if action.redirect else action.reject or 0
    return Explanation(number, action.agent, code, winner.line, tuple(tried), action.redirect)

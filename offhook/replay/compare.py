"""What changed since yesterday: one call against its baseline, turn by turn, regressions first.

A finding has a name that needs no look at the call ("tool book_appointment now fails"). What got better or is merely
different is told too and is no regression. Two bundles of the same conversation give nothing. Driven by
`offhook replay --baseline`; reads bundles only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from offhook.bundle import Record
from offhook.replay.aligning import align, likeness
from offhook.replay.asked import same_course
from offhook.replay.checking import often, plain
from offhook.replay.findings import (
    Finding,
    Pair,
    Tolerance,
    changed_tools,
    moved_tools,
    tool_missing,
    tool_new,
)
from offhook.replay.measures import CallMeasures, Spread, measure
from offhook.replay.turns import PARTS, Turn


@dataclass(frozen=True, slots=True)
class Difference:
    """findings: worst first. diverged: the first turn from which it is another conversation, None if it stays one."""

    pairs: tuple[Pair, ...] = ()
    findings: tuple[Finding, ...] = ()
    diverged: int | None = None
    baseline: CallMeasures | None = field(default=None, repr=False)

    @property
    def regressions(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.regression]

    @property
    def severity(self) -> int:
        """Of the worst."""
        return max((finding.severity for finding in self.findings), default=0)


def compare(
    bundle: CallMeasures | Record | Path,
    baseline: CallMeasures | Record | Path,
    tolerance: Tolerance | None = None,
) -> Difference:
    """Compare a call with its baseline. Raises BundleError if one of them cannot be read."""
    now = bundle if isinstance(bundle, CallMeasures) else measure(bundle)
    before = baseline if isinstance(baseline, CallMeasures) else measure(baseline)
    limits = tolerance or Tolerance()
    pairs = tuple(Pair(*pair) for pair in align(now.turns, before.turns))
    turns = [finding for pair in pairs for finding in _turn(pair, limits)]
    found = [
        *moved_tools(turns, now.tools, before.tools),
        *_course(now, before, pairs),
        *_manners(now, before, limits),
        *_pace(pairs, limits),
    ]
    found.sort(key=lambda finding: (-finding.severity, finding.turn or 0))
    return Difference(pairs, tuple(found), _diverged(pairs), before)


# ---------------------------------------------------------------- turns


def _turn(pair: Pair, limits: Tolerance) -> Iterator[Finding]:
    now, before = pair
    if now is None or before is None:
        yield from _lone(now, before)
        return
    if plain(now.text) != plain(before.text):
        text = f"turn {now.number}: the caller was understood as {now.text!r}, before as {before.text!r}"
        yield Finding("understood", text, now.number, now.start_s)
    if before.answer and not now.answer:
        yield Finding("answer missing", f"no answer any more in turn {now.number}", now.number, now.end_s)
    elif plain(now.answer) != plain(before.answer):
        alike = likeness(now.answer, before.answer)
        if alike < limits.likeness or limits.likeness == 1.0:
            text = f"answer changed in turn {now.number} ({alike:.0%} of the words are the same)"
            yield Finding("answer", text, now.number, _answered_at(now))
    yield from changed_tools(now, before)


def _lone(now: Turn | None, before: Turn | None) -> Iterator[Finding]:
    if now is not None:
        yield Finding("turn new", f"turn {now.number} is new: {now.text!r}", now.number, now.start_s)
        yield from (tool_new(now, tool) for tool in now.tools)
    elif before is not None:
        text = f"the caller's turn {before.number} is gone: {before.text!r}"
        yield Finding("turn missing", text)
        yield from (tool_missing(tool, None) for tool in before.tools)


def _answered_at(turn: Turn) -> float:
    return turn.replies[0].start_s if turn.replies else turn.end_s


# ---------------------------------------------------------------- the call


def _course(now: CallMeasures, before: CallMeasures, pairs: Sequence[Pair]) -> Iterator[Finding]:
    went = [(handoff.to, handoff.at_s) for handoff in now.handoffs if handoff.ok]
    wanted = [handoff.to for handoff in before.handoffs if handoff.ok]
    left = [to for to, _ in went]
    for to in wanted:
        if to in left:
            left.remove(to)
        else:
            turn = _where(pairs, to)
            at_s = turn.end_s if turn else None
            yield Finding(
                "handoff missing", f"no handoff to {to} any more", turn.number if turn else None, at_s
            )
    for to in left:
        at_s = next(at for name, at in reversed(went) if name == to)
        yield Finding("handoff new", f"hands over to {to} now", None, at_s)
    if not left and sorted(wanted) == sorted(to for to, _ in went) and wanted != [to for to, _ in went]:
        text = f"hands over to {', '.join(to for to, _ in went)}, before to {', '.join(wanted)}"
        yield Finding("handoff new", text)
    if (now.ended_by, now.cause) != (before.ended_by, before.cause):
        last = now.turns[-1].number if now.turns else None
        yield Finding("ending", f"the call ends by {_end(now)}, before by {_end(before)}", last, now.length_s)
    if now.pressed != before.pressed:
        text = f"keys are {now.pressed or 'none'}, before {before.pressed or 'none'}"
        yield Finding("keys", text)
    for failure in now.failures:
        if now.failures.count(failure) > before.failures.count(failure):
            yield Finding("provider failed", f"a provider now fails: {failure}")
            return


def _where(pairs: Sequence[Pair], to: str) -> Turn | None:
    """The turn of the call in which the baseline's agent handed over."""
    for now, before in pairs:
        if before is not None and any(one.to == to and one.ok for one in before.handoffs):
            return now
    return None


def _end(call: CallMeasures) -> str:
    return (
        " ".join(part for part in (call.cause, f"({call.ended_by})" if call.ended_by else "") if part)
        or "nothing"
    )


def _manners(now: CallMeasures, before: CallMeasures, limits: Tolerance) -> Iterator[Finding]:
    if len(now.cut_ins) > len(before.cut_ins):
        old = {cut.turn for cut in before.cut_ins}
        first = next((cut for cut in now.cut_ins if cut.turn not in old), now.cut_ins[0])
        text = (
            f"agent now talks over the caller {often(len(now.cut_ins))}, before {often(len(before.cut_ins))}"
        )
        yield Finding("cut in", text, first.turn, first.at_s)
    elif len(now.cut_ins) < len(before.cut_ins):
        text = f"agent talks over the caller {often(len(now.cut_ins))}, before {often(len(before.cut_ins))}"
        yield Finding("better", text)
    if len(now.barge_ins) < len(before.barge_ins):
        text = (
            f"agent stops for the caller {often(len(now.barge_ins))}, before {often(len(before.barge_ins))}"
        )
        yield Finding("barge-in lost", text)
    elif len(now.barge_ins) > len(before.barge_ins):
        text = (
            f"caller interrupts the agent {often(len(now.barge_ins))}, before {often(len(before.barge_ins))}"
        )
        yield Finding("barge-in new", text, None, now.barge_ins[-1])
    worst, before_s = now.longest_silence, before.longest_silence_s
    if worst and worst.length_s - before_s > limits.silence_s:
        who = worst.after or "beginning"
        text = f"silence of {worst.length_s:.1f} s after the {who}, before at most {before_s:.1f} s"
        yield Finding("silence", text, None, worst.start_s)


# ---------------------------------------------------------------- pace


def _pace(pairs: Sequence[Pair], limits: Tolerance) -> Iterator[Finding]:
    """Only turns that both calls answered are compared: a new slow turn is a new turn."""
    both = [
        (pair.now, pair.now.delay, pair.before.delay)
        for pair in pairs
        if pair.now and pair.before and pair.now.delay and pair.before.delay
    ]
    new = Spread.of(delay.total_ms for _, delay, _ in both)
    old = Spread.of(delay.total_ms for *_, delay in both)
    if new is None or old is None:
        return
    told: set[str] = set()
    for part in ("p50", "p95"):
        is_now, was = getattr(new, part), getattr(old, part)
        kind = "slower" if is_now > was else "faster"
        if abs(is_now - was) > max(limits.delay_ms, limits.share * was) and kind not in told:
            told.add(kind)
            blame = _blame([one for _, one, _ in both], [other for *_, other in both])
            change = f"{abs(is_now - was):.0f} ms {kind} ({part}: {is_now:.0f}, before {was:.0f})"
            most = max(both, key=lambda one: abs(one[1].total_ms - one[2].total_ms))[0]
            yield Finding(kind, f"answers {change}{blame}", most.number, most.end_s)
    everywhere = max(0.0, new.p50 - old.p50)
    for turn, one, other in both:
        slower = one.total_ms - other.total_ms
        if slower - everywhere > max(limits.turn_ms, limits.share * other.total_ms):
            text = f"turn {turn.number} answers {slower:.0f} ms slower{_blame([one], [other])}"
            yield Finding("slow turn", text, turn.number, turn.end_s)


def _blame(now: Sequence[object], before: Sequence[object]) -> str:
    """The part of the delay that changed most."""
    grown = {
        part: sum(getattr(delay, f"{part}_ms") for delay in now)
        - sum(getattr(delay, f"{part}_ms") for delay in before)
        for part in PARTS
    }
    part = max(grown, key=lambda name: abs(grown[name]))
    return f", mostly {part}" if grown[part] else ""


def _diverged(pairs: Sequence[Pair]) -> int | None:
    for now, before in pairs:
        if now is None:
            return before.number if before else None
        if before is None or not same_course(now.answer, before.answer):
            return now.number
        if [handoff.to for handoff in now.handoffs] != [handoff.to for handoff in before.handoffs]:
            return now.number
    return None

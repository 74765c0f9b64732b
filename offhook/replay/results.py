"""What came of a run: one `Result` a call, worst first, and the files and exit code that CI reads.

The JSON's schema is in docs/replay-report.md; `schema` is raised when a field changes its meaning. The page for
people is report/. Driven by `offhook replay`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from xml.etree import ElementTree

from offhook.replay.agreement import Agreement, agreement
from offhook.replay.checking import Verdict
from offhook.replay.compare import Difference
from offhook.replay.findings import Finding
from offhook.replay.measures import CallMeasures, Spread
from offhook.replay.turns import Turn

SCHEMA = 1
PASSED, REGRESSED, UNDECIDED = 0, 1, 2

Status: TypeAlias = Literal["error", "failed", "unsure", "passed"]
WORST: dict[Status, int] = {"error": 0, "failed": 1, "unsure": 2, "passed": 3}


@dataclass(frozen=True, slots=True)
class Result:
    """One call. measures: None if it could not be replayed or read, then error says why."""

    name: str
    measures: CallMeasures | None = None
    verdicts: tuple[Verdict, ...] = ()
    difference: Difference | None = None
    error: str = ""

    @property
    def regressions(self) -> list[Finding]:
        return self.difference.regressions if self.difference else []

    @property
    def status(self) -> Status:
        if self.measures is None:
            return "error"
        if self.regressions or any(verdict.outcome == "failed" for verdict in self.verdicts):
            return "failed"
        return "unsure" if any(verdict.outcome == "unsure" for verdict in self.verdicts) else "passed"

    @property
    def headline(self) -> str:
        """The worst of it in one line, "" if all is well."""
        if self.error:
            return self.error
        failed = [f"{verdict.name}: {verdict.text}" for verdict in self.verdicts if not verdict.passed]
        named = [finding.text for finding in self.regressions]
        return next(iter(named + failed), "")


def worst_first(results: Iterable[Result]) -> list[Result]:
    """Errors, then failures by the severity of their worst regression and how much failed, then the slowest."""

    def badness(result: Result) -> tuple[float, ...]:
        failed = sum(verdict.outcome == "failed" for verdict in result.verdicts)
        severity = result.difference.severity if result.difference else 0
        delay = result.measures.response_delay_ms if result.measures else None
        return (
            WORST[result.status],
            -severity,
            -failed,
            -len(result.regressions),
            -(delay.p95 if delay else 0.0),
        )

    return sorted(results, key=lambda result: (*badness(result), result.name))


def exit_code(results: Iterable[Result]) -> int:
    """0: all as it should be. 1: something regressed or failed. 2: nothing failed, but not all could be judged."""
    found = {result.status for result in results}
    if "failed" in found:
        return REGRESSED
    return UNDECIDED if found & {"error", "unsure"} else PASSED


@dataclass(frozen=True, slots=True)
class Totals:
    """A run in a few numbers; what the page shows on top."""

    calls: int
    passed: int
    failed: int
    unsure: int
    errors: int
    diverged: int
    response_delay_ms: Spread | None
    cut_ins: int
    barge_ins: int
    agreement: Agreement | None


def totals(results: Sequence[Result]) -> Totals:
    """Over all calls."""
    counted = Counter(result.status for result in results)
    calls = [result.measures for result in results if result.measures]
    return Totals(
        len(results),
        counted["passed"],
        counted["failed"],
        counted["unsure"],
        counted["error"],
        sum(1 for result in results if result.difference and result.difference.diverged is not None),
        Spread.of(delay.total_ms for call in calls for delay in call.delays),
        sum(len(call.cut_ins) for call in calls),
        sum(len(call.barge_ins) for call in calls),
        agreement(verdict for result in results for verdict in result.verdicts),
    )


# ---------------------------------------------------------------- JSON


def write_json(results: Sequence[Result], path: Path) -> None:
    """Write everything that is known of a run, worst call first. Raises OSError."""
    path.write_text(json.dumps(as_json(results), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """A run as plain values; see docs/replay-report.md."""
    summed = totals(results)
    return {
        "schema": SCHEMA,
        "exit_code": exit_code(results),
        "totals": {
            **asdict(summed),
            "response_delay_ms": _named(summed.response_delay_ms),
            "agreement": _named(summed.agreement),
        },
        "calls": [call_json(result) for result in worst_first(results)],
    }


def call_json(result: Result) -> dict[str, Any]:
    """One call as plain values."""
    told: dict[str, Any] = {"name": result.name, "status": result.status, "headline": result.headline}
    if result.error:
        told["error"] = result.error
    told["verdicts"] = [asdict(verdict) for verdict in result.verdicts]
    if (difference := result.difference) is not None:
        told["diverged"] = difference.diverged
        told["findings"] = [{**_named(one), "severity": one.severity} for one in difference.findings]
        told["baseline"] = difference.baseline.id if difference.baseline else ""
    if (call := result.measures) is not None:
        told |= _measured(call)
    return told


def _measured(call: CallMeasures) -> dict[str, Any]:
    return {
        "id": call.id,
        "bundle": str(call.path),
        "length_s": call.length_s,
        "ended_by": call.ended_by,
        "cause": call.cause,
        "response_delay_ms": _named(call.response_delay_ms),
        "talk_ratio": call.talk_ratio,
        "cut_ins": [_named(cut) for cut in call.cut_ins],
        "barge_ins_s": list(call.barge_ins),
        "overlaps": [_named(span) for span in call.overlaps],
        "silences": [_named(silence) for silence in call.silences],
        "keys": call.pressed,
        "failures": list(call.failures),
        "damage": list(call.damage),
        "turns": [_turn(turn) for turn in call.turns],
    }


def _turn(turn: Turn) -> dict[str, Any]:
    plain = {key: getattr(turn, key) for key in ("number", "text", "understood", "by", "start_s", "end_s")}
    lists = {key: [_named(one) for one in getattr(turn, key)] for key in ("replies", "tools", "handoffs")}
    return {**plain, "delay": _named(turn.delay), **lists}


def _named(value: Any) -> Any:
    """A named tuple as an object; None stays."""
    return value._asdict() if value is not None else None


# ---------------------------------------------------------------- JUnit


def write_junit(results: Sequence[Result], path: Path, suite: str = "offhook replay") -> None:
    """Write JUnit XML: a suite a call, a case an expectation, and one for the comparison. Raises OSError."""
    root = ElementTree.Element("testsuites", name=suite)
    for result in worst_first(results):
        _suite(root, result)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(child.get(key, "0")) for child in root)))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _suite(root: ElementTree.Element, result: Result) -> None:
    cases: list[tuple[str, str, str]] = []  # name, what is wrong, in which element
    kinds = {"passed": "", "failed": "failure", "unsure": "skipped"}
    for verdict in result.verdicts:
        where = "" if verdict.turn is None else f" (turn {verdict.turn})"
        cases.append((verdict.name, verdict.text + where, kinds[verdict.outcome]))
    if result.difference is not None:
        lines = "\n".join(_line(finding) for finding in result.regressions)
        cases.append(("same as the baseline", lines, "failure" if lines else ""))
    if result.error:
        cases.append(("can be replayed", result.error, "error"))
    elif not cases:
        cases.append(("can be replayed", "", ""))
    length = result.measures.length_s if result.measures else 0.0
    tags = {"name": _xml(result.name), "tests": str(len(cases)), "time": f"{length:.3f}"}
    for key, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        tags[key] = str(sum(found == kind for *_, found in cases))
    suite = ElementTree.SubElement(root, "testsuite", tags)
    for name, text, kind in cases:
        case = ElementTree.SubElement(suite, "testcase", name=_xml(name), classname=_xml(result.name))
        if kind:
            ElementTree.SubElement(case, kind, message=_xml(text.partition("\n")[0])).text = _xml(text)


def _line(finding: Finding) -> str:
    """With its turn, if it does not say it itself."""
    known = finding.turn is None or f"turn {finding.turn}" in finding.text
    return finding.text if known else f"{finding.text} (turn {finding.turn})"


def _xml(text: str) -> str:
    """Without what XML 1.0 cannot hold (§2.2): what a model or a peer sent may be anything."""
    return "".join(
        char
        if char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
        else "\ufffd"
        for char in text
    )

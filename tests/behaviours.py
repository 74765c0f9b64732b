"""Which test covers which row of docs/behaviours.md. `python -m tests.behaviours` writes the table's last column.

A test says so itself, in its docstring: "Row 12", "Rows 12, 13 and 15", "Rows 24-26"."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "behaviours.md"
ROWS = range(1, 66)

_CITED = re.compile(r"\b[Rr]ows?\s+(\d+(?:\s*(?:,\s*and|,|and|to|[-–])\s*\d+)*)")  # noqa: RUF001
_PART = re.compile(r"(\d+)(?:\s*(?:to|[-–])\s*(\d+))?")  # noqa: RUF001
_LINE = re.compile(r"^\| (\d+) \|(.*)\|([^|]*)\|$")


def cited(docstring: str) -> set[int]:
    """The rows that a docstring names."""
    rows: set[int] = set()
    for found in _CITED.finditer(docstring):
        for first, last in _PART.findall(found[1]):
            rows |= set(range(int(first), int(last or first) + 1))
    return rows


def tests_by_row() -> dict[int, list[str]]:
    """The tests of each row, as `file::name` without the folders, in order."""
    by_row: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for name, docstring in _tests(path):
            for row in cited(docstring):
                by_row[row].append(f"{path.stem}::{name}")
    return dict(by_row)


def written(text: str) -> str:
    """The document with its last column as the tests say now."""
    by_row = tests_by_row()
    lines = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is not None:
            names = by_row.get(int(found[1]), [])
            line = f"| {found[1]} |{found[2]}| {_column(names)} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def rows_of(text: str) -> list[int]:
    """The rows that the document has."""
    return [int(found[1]) for line in text.splitlines() if (found := _LINE.match(line))]


def _column(names: list[str]) -> str:
    by_file: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        module, _, test = name.partition("::")
        by_file[module].append(test.removeprefix("test_").replace("_", " "))
    return "; ".join(f"`{module}`: {', '.join(tests)}" for module, tests in by_file.items())


def _tests(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))

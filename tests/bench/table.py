"""How `make bench` and `make soak` show what they measured: each figure beside its budget, and whether it was met."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

out = Console(highlight=False, width=max(110, Console().width))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. met: None if there is no budget."""

    what: str
    measured: str
    budget: str
    met: bool | None


def print_rows(rows: Sequence[Row]) -> None:
    """The table, what was missed in red."""
    table = Table(title=f"Offhook on {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for title in ("what", "measured", "budget", ""):
        table.add_column(title)
    for row in rows:
        mark = "" if row.met is None else "met" if row.met else "missed"
        table.add_row(row.what, row.measured, row.budget, mark, style="red" if row.met is False else "")
    out.print(table)

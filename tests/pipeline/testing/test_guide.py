"""docs/testing.md is for developers of agents; what it shows is run here, in the order of the page."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline.testing
from pipeline.testing.expect import Assertions, Expect

GUIDE = Path(__file__).parents[3] / "docs" / "testing.md"
TEXT = GUIDE.read_text(encoding="utf-8")


def _shown() -> dict[str, Callable[[], Any]]:
    names: dict[str, Any] = {"__name__": "guide"}
    for match in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL):
        line = TEXT.count("\n", 0, match.start()) + 1
        exec(compile("\n" * line + match[1], str(GUIDE), "exec"), names)
    return {name: value for name, value in names.items() if name.startswith("test_")}


SHOWN = _shown()


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_guide_shows_passes(name: str) -> None:
    shown = SHOWN[name]
    if inspect.iscoroutinefunction(shown):
        asyncio.run(shown())
    else:
        shown()


def test_the_guide_shows_every_part_of_the_kit() -> None:
    assert len(SHOWN) == 8
    missing = [name for name in pipeline.testing.__all__ if name not in TEXT]
    assert set(missing) <= {"FakePhone", "MockedTool", "Moment", "Result", "Verdict", "Verdicts"}, (
        "what comes back, not what is called"
    )
    claims = {name for kind in (Assertions, Expect) for name in vars(kind) if not name.startswith("_")}
    assert [name for name in sorted(claims) if f".{name}(" not in TEXT] == []

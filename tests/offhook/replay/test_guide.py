"""What docs/replay-report.md shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offhook.replay.expectations import load_expectations
from offhook.replay.findings import Tolerance
from offhook.replay.measures import SILENCE_S
from offhook.replay.report.page import PRINTED, SOUND_BYTES
from offhook.replay.turns import CUT_IN_S, HOLD_S
from tests.offhook.replay.calls import dentist, write_call

GUIDE = (Path(__file__).parents[3] / "docs" / "replay-report.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found[1]


def test_the_example_of_expectations_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "monday.expect.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    found = load_expectations(path)
    assert found.model_fields_set == set(type(found).model_fields)


def test_the_example_in_python_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with 1: the dentist does not say what the example expects of a clinic."""
    write_call(tmp_path / "runs" / "today", dentist())
    write_call(tmp_path / "runs" / "main", dentist())
    (tmp_path / "monday.expect.yaml").write_text(block("yaml"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        exec(compile(block("python"), "docs/replay-report.md", "exec"), {})
    assert {path.name for path in tmp_path.glob("report.*")} == {"report.html", "report.xml", "report.json"}


def test_the_numbers_of_the_guide_are_those_of_the_code() -> None:
    limits = Tolerance()
    assert f"less than {HOLD_S:g} s, went on within {CUT_IN_S:g} s" in GUIDE
    assert (
        f"no sound for {SILENCE_S:g} s or longer" in GUIDE
        or f"made sound for {SILENCE_S:g} s or longer" in GUIDE
    )
    assert f"within {limits.delay_ms:g} ms or {limits.share:.0%}".replace("10%", "10 %") in GUIDE
    assert f"{limits.turn_ms:g} ms more than the rest" in GUIDE
    assert f"up to {SOUND_BYTES / 1e6:g} MB" in GUIDE and f"worst {PRINTED}\n" in GUIDE

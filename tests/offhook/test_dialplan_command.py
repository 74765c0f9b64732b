"""`offhook dialplan`, as an admin types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.plans.versions import Versions, snapshot
from telephony.dialplan.load import load_plan

ROOT = Path(__file__).parents[2]
CENTRE = str(ROOT / "dialplans" / "contact-centre.yaml")
CONF = str(ROOT / "tests" / "telephony" / "dialplan" / "extensions.conf")
PLAN = (
    "version: 1\nagents: {desk: {instructions: x}, night: {instructions: x}}\n"
    "numbers: [{number: '100', agent: desk}]\ntests: [{call: '100', expect: desk}]\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somewhere with settings and a plan of one number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "offhook.yaml").write_text("dialplan: plan.yaml\nplan_versions: versions\n")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["offhook", "dialplan", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
        sys.exit(0)
    return int(left.value.code or 0)


def test_check_is_quiet_about_a_good_plan_and_says_all_that_is_wrong_with_a_bad_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check") == 0
    assert "plan.yaml: good, version" in capsys.readouterr().out
    (folder / "plan.yaml").write_text(
        PLAN.replace("agent: desk}", "agent: desk}, {number: 200, agent: dusk, max_cals: 3}")
    )
    assert run(monkeypatch, "check") == 1
    said = capsys.readouterr().out
    assert "plan.yaml:3:62: no agent 'dusk'. Did you mean 'desk'?" in said
    assert (
        "plan.yaml:3:68: unknown key 'max_cals'. Did you mean 'max_calls'?" in said and "2 problems" in said
    )
    (folder / "plan.yaml").write_text(PLAN.replace("expect: desk", "expect: night"))
    assert run(monkeypatch, "check", "plan.yaml", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["good"], found["problems"][0]["line"], found["numbers"]) == (False, 4, 1)


def test_check_warns_of_dates_that_are_past_and_the_plan_is_good_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = PLAN + "timezone: UTC\ncalendars: {office: {open: {mon: 9:00-17:00}, closed: [2001-12-24]}}\n"
    (folder / "plan.yaml").write_text(old)
    assert run(monkeypatch, "check") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("plan.yaml:6:56: warning: 2001-12-24 is past. Remove")
    assert said[1].startswith("plan.yaml: good, version ") and said[1].endswith(", 1 warning")
    assert run(monkeypatch, "check", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["good"], found["problems"], found["warnings"][0]["line"]) == (True, [], 6)
    (folder / "plan.yaml").write_text(old.replace("agent: desk", "agent: dusk"))
    assert run(monkeypatch, "check") == 1
    assert capsys.readouterr().out.endswith("1 problem, 1 warning\n")


def test_two_tests_in_one_line_are_told_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "plan.yaml").write_text(
        PLAN.replace("expect: desk}", "expect: desk}, {call: '100', expect: night}")
    )
    assert "tests: [{call: '100', expect: desk}, {" in (folder / "plan.yaml").read_text()
    assert run(monkeypatch, "test") == 1
    said = capsys.readouterr().out
    assert "good  plan.yaml:4: 100 -> desk" in said and "1 of 2 tests are good" in said
    assert "WRONG plan.yaml:4:60: 100 goes to desk, not night" in said


def test_test_runs_the_plans_own_tests(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "test", CENTRE) == 0
    assert "9 of 9 tests are good" in capsys.readouterr().out
    (folder / "plan.yaml").write_text(PLAN.replace("expect: desk", "expect: night"))
    assert run(monkeypatch, "test") == 1
    said = capsys.readouterr().out
    assert "WRONG plan.yaml:4:31: 100 goes to desk, not night" in said and "0 of 1 tests are good" in said


def test_who_answers_and_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "who",
        "+44 3300 000100",
        "--plan",
        CENTRE,
        "--at",
        "2026-12-25 10:00",
        "--from",
        "+447700900123",
    ]
    assert run(monkeypatch, *asked) == 0
    said = capsys.readouterr().out
    assert "at Fri 2026-12-25 10:00 GMT" in said
    assert "+443300000100: target holiday note (line 133)" in said
    assert "line 131 +443300000100: caller +447700900123 is not in nuisance" in said
    assert run(monkeypatch, *asked, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["agent"], found["line"], len(found["tried"])) == ("holiday note", 133, 3)
    assert run(monkeypatch, "who", "999", "--plan", CENTRE) == 1
    assert run(monkeypatch, "who", "100", "--at", "10:00") == 1
    assert "is not a time" in capsys.readouterr().err


def test_who_says_which_share_and_why_nobody_and_refuses_a_header_that_is_never_passed_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "plan.yaml").write_text(
        PLAN.replace("agent: desk}", "split: {desk: 50%, night: 50%}}").replace("\n", "\ntrunks: [carrier]\n", 1)
        .replace("'100', expect", "'100', trunk: carrier, call_id: a, expect").replace("expect: desk", "expect: night")
    )  # fmt: skip
    assert run(monkeypatch, "who", "100", "--trunk", "carrier", "--call-id", "a") == 0
    assert "100: agent night (line 4, split night)" in capsys.readouterr().out
    assert run(monkeypatch, "who", "100", "--trunk", "carier") == 1
    said = capsys.readouterr()
    assert "refused with 404. plan.yaml: does not serve calls of trunk carier. See `trunks:`." in said.out
    assert "Did you mean 'carrier'?" in said.err
    assert run(monkeypatch, "who", "100", "--header", "From=x") == 1
    assert "header 'From' is not passed to the plan" in capsys.readouterr().err


def test_diff_compares_files_and_kept_versions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = snapshot(load_plan("plan.yaml"))
    Versions(Path("versions"), Path("plan.yaml")).keep(taken)
    (folder / "plan.yaml").write_text(PLAN.replace("agent: desk}", "agent: night}"))
    assert run(monkeypatch, "diff", taken.version[:6], "plan.yaml") == 1
    assert "100\n  desk -> night\n    always\n" in capsys.readouterr().out
    assert run(monkeypatch, "diff", "plan.yaml", "plan.yaml") == 0
    assert "every call goes where it went" in capsys.readouterr().out
    assert run(monkeypatch, "diff", taken.version[:6], "plan.yaml", "--json", "--week", "2026-12-02") == 1
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert change["spells"] == [
        {"from": "2026-11-30T00:00:00+00:00", "to": "2026-12-07T00:00:00+00:00", "weekly": True}
    ]


def test_a_graph_is_a_picture_or_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "graph", CENTRE, "--out", "plan.svg") == 0
    assert (folder / "plan.svg").read_text().startswith("<svg ")
    assert run(monkeypatch, "graph") == 0
    assert capsys.readouterr().out.splitlines()[1] == "flowchart LR"


def test_an_asterisk_file_becomes_a_plan_and_a_list_of_what_was_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(monkeypatch, "import", "asterisk", CONF, "--timezone", "Europe/Berlin", "--out", "new.yaml") == 0
    )
    said = capsys.readouterr()
    assert "new.yaml: 10 numbers" in said.out and said.err.count("not carried over") > 10
    assert run(monkeypatch, "check", "new.yaml") == 0


def test_history_and_rollback_bring_an_earlier_version_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = Versions(Path("versions"), Path("plan.yaml"))
    for text in (PLAN, PLAN + "# more\n"):
        (folder / "plan.yaml").write_text(text)
        taken = snapshot(load_plan("plan.yaml"))
        versions.keep(taken)
        versions.note("in_use", taken.version)
    assert run(monkeypatch, "rollback", "-m", "it was better") == 0
    assert (folder / "plan.yaml").read_text() == PLAN
    assert run(monkeypatch, "history") == 0
    said = capsys.readouterr().out.splitlines()
    assert "saved" in said[1] and said[1].endswith(": it was better") and "in use" in said[2]
    assert run(monkeypatch, "rollback", "zz") == 1
    assert "no version 'zz'" in capsys.readouterr().err

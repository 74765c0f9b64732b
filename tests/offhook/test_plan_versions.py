"""The history of a dial plan: who, when, why; its files, and putting them back."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.plans.versions import BY_HAND, Versions, VersionsError, files_of, owner, snapshot
from telephony.dialplan.load import load_plan

PLAN = """
version: 1
timezone: Europe/London
imports: [more.yaml]
calendars: {office: {open: {mon-fri: "09:00-17:00"}, holidays: [free.ics]}}
lists: {known: {file: known.csv}}
agents: {desk: {instructions: x}}
numbers:
  - {number: "100", routes: [{when: {calendar: office, caller: known}, agent: desk}, {reject: 486}]}
"""
ICS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART;VALUE=DATE:20261225\r\nSUMMARY:Christmas\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A plan of four files."""
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "main.yaml").write_text(PLAN)
    (folder / "more.yaml").write_text("numbers: [{number: '200', agent: desk}]\n")
    (folder / "free.ics").write_text(ICS, newline="")
    (folder / "known.csv").write_text("+49160*\n")
    return folder / "main.yaml"


def kept(main: Path, versions: Versions) -> str:
    taken = snapshot(load_plan(main))
    versions.keep(taken)
    return taken.version


def test_a_version_changes_with_any_file_that_the_plan_names(main: Path) -> None:
    found = {snapshot(load_plan(main)).version}
    for name, more in (("more.yaml", "# x\n"), ("known.csv", "+49170*\n"), ("main.yaml", "# x\n")):
        with (main.parent / name).open("a") as file:
            file.write(more)
        found.add(snapshot(load_plan(main)).version)
    assert len(found) == 4
    assert [path.name for path in files_of(load_plan(main))] == [
        "main.yaml",
        "more.yaml",
        "free.ics",
        "known.csv",
    ]


def test_a_version_is_put_back_with_all_its_files_and_the_change_has_an_author(
    main: Path, tmp_path: Path
) -> None:
    versions = Versions(tmp_path / "versions", main)
    first = kept(main, versions)
    before = {path: path.read_bytes() for path in main.parent.iterdir()}
    versions.note("in_use", first)
    (main.parent / "known.csv").write_text("+49170*\n")
    main.write_text(PLAN.replace("486", "603"))
    second = kept(main, versions)
    versions.note("in_use", second)
    assert versions.find("") == first and versions.find(first[:4]) == first
    fact = versions.put_back(versions.find(""), author="anna", reason="too many refused")
    assert {path: path.read_bytes() for path in main.parent.iterdir()} == before
    assert (fact.what, fact.version, fact.author) == ("saved", first, "anna")
    assert kept(main, versions) == first


def test_whoever_saved_a_version_is_named_when_it_comes_into_use_and_nobody_else(
    main: Path, tmp_path: Path
) -> None:
    versions = Versions(tmp_path / "versions", main)
    versions.note("saved", "aaaa", author="anna", reason="spring")
    assert (versions.note("in_use", "aaaa").author, versions.note("in_use", "aaaa").reason) == (
        "anna",
        "spring",
    )
    by_hand = versions.note("in_use", "bbbb")
    assert (by_hand.author, by_hand.reason) == (owner(main), BY_HAND)
    assert versions.note("in_use", "aaaa").reason == BY_HAND, "anna's change was replaced meanwhile"
    assert [fact.what for fact in versions.history()] == ["saved", "in_use", "in_use", "in_use", "in_use"]


def test_a_line_that_a_crash_has_cut_costs_this_line_only(main: Path, tmp_path: Path) -> None:
    versions = Versions(tmp_path / "versions", main)
    versions.note("in_use", "aaaa")
    with (versions.folder / "history.jsonl").open("a") as file:
        file.write('{"at": "2026-\n[]\n')
    versions.note("in_use", "bbbb")
    assert [fact.version for fact in versions.history()] == ["aaaa", "bbbb"]


def test_a_version_that_there_is_not_is_an_error_with_a_way_out(main: Path, tmp_path: Path) -> None:
    versions = Versions(tmp_path / "versions", main)
    for version in ("", "12"):
        with pytest.raises(VersionsError, match="offhook dialplan history"):
            versions.find(version)


def test_files_that_change_while_they_are_kept_are_no_version(main: Path, tmp_path: Path) -> None:
    versions = Versions(tmp_path / "versions", main)
    taken = snapshot(load_plan(main))
    main.write_text(PLAN + "# another\n")
    with pytest.raises(VersionsError, match="was changed while it was read"):
        versions.keep(taken)
    assert versions.kept() == []

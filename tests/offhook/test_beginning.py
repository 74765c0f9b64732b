"""The plan that a server starts with: the file if it is good, else the newest version that was in use and still is."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.access_settings import TrunkSettings
from offhook.errors import OffhookError
from offhook.plans.versions import Versions, snapshot
from offhook.settings import Settings
from offhook.switch.beginning import Beginning
from telephony.dialplan.load import load_plan


def plan(agent: str, trunk: str = "carrier", expect: str = "") -> str:
    return (
        f"version: 1\nimports: [agents.yaml]\ntrunks: [{trunk}]\n"
        f"agents: {{{agent}: {{instructions: Answer.}}}}\nnumbers: [{{number: 100, agent: {agent}}}]\n"
        f"tests: [{{call: 100, trunk: {trunk}, expect: {expect or agent}}}]\n"
    )


class Folder:
    """A plan with its versions, and settings that name it."""

    def __init__(self, path: Path) -> None:
        self.main, self.more = path / "plan.yaml", path / "agents.yaml"
        self.more.write_text("agents: {zoe: {instructions: Answer.}}\n")
        self.settings = Settings(
            dialplan=self.main,
            plan_versions=path / "versions",
            trunks=(TrunkSettings(name="carrier", allow_from=("192.0.2.1",)),),
        )
        self.versions = Versions(path / "versions", self.main)

    def used(self, text: str) -> str:
        """This plan was in use once."""
        self.main.write_text(text)
        taken = snapshot(load_plan(self.main))
        self.versions.keep(taken)
        self.versions.note("in_use", taken.version)
        return taken.version

    def begin(self) -> Beginning:
        return Beginning(self.settings)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_good_file_is_what_the_server_starts_with(folder: Folder) -> None:
    folder.used(plan("anna"))
    folder.main.write_text(plan("berta"))
    beginning = folder.begin()
    first = beginning.first()
    assert (set(first.teams), beginning.unfit) == ({"berta", "zoe"}, None)
    assert first.version == snapshot(load_plan(folder.main)).version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "plan.yaml:"),
        (plan("berta").replace("agent: berta", "agent: bertha"), "no agent 'bertha'"),
        (plan("berta", expect="zoe"), "100 goes to berta, not zoe"),
        (plan("berta", trunk="carier"), "no trunk 'carier' in the settings"),
        ("", "a dial plan begins with keys"),
    ],
)
def test_a_file_that_a_reload_would_refuse_gives_way_to_the_version_before(
    folder: Folder, text: str, said: str
) -> None:
    """Not YAML, a wrong name, a failing test of its own, a trunk that the settings do not have."""
    folder.used(plan("clara"))
    before = folder.used(plan("anna"))
    folder.main.write_text(text)
    beginning = folder.begin()
    plan_used = beginning.first()
    assert (plan_used.version, set(plan_used.teams)) == (before, {"anna", "zoe"})
    assert beginning.unfit is not None and said in beginning.unfit.problems[0]


def test_an_older_version_is_read_with_all_its_files_as_they_were(folder: Folder) -> None:
    """Half a save: main file and import are both wrong now."""
    folder.used(plan("anna"))
    folder.main.write_text("{")
    folder.more.write_text("agents: {: :")
    assert set(folder.begin().first().teams) == {"anna", "zoe"}


def test_of_the_older_versions_one_that_is_not_good_any_more_is_passed_over(folder: Folder) -> None:
    """The trunk that the newest of them names is gone from the settings."""
    good = folder.used(plan("anna"))
    folder.used(plan("berta", trunk="gone"))
    folder.main.write_text("{")
    assert folder.begin().first().version == good


def test_a_plan_that_workers_cannot_play_gives_way_too_and_the_first_reason_is_told(folder: Folder) -> None:
    oldest, older = folder.used(plan("clara")), folder.used(plan("anna"))
    now = folder.used(plan("berta"))
    beginning = folder.begin()
    assert beginning.first().version == now
    assert beginning.other("no module named tools").version == older
    assert beginning.other("that one neither").version == oldest
    with pytest.raises(OffhookError, match="(?s)no module named tools.*does not start"):
        beginning.other("nor that")
    assert beginning.unfit is not None and beginning.unfit.version == now


def test_without_an_older_version_the_server_does_not_start_and_everything_wrong_is_told(
    folder: Folder,
) -> None:
    folder.main.write_text(plan("berta", trunk="carier").replace("agent: berta", "agent: bertha"))
    with pytest.raises(OffhookError) as refused:
        folder.begin().first()
    text = str(refused.value)
    assert "no agent 'bertha'" in text and "no trunk 'carier'" in text
    assert "offhook dialplan check" in text and "has no version of this plan" in text


def test_versions_of_another_plan_of_the_same_name_are_not_used(folder: Folder, tmp_path: Path) -> None:
    """Versions are kept by the name of the file; another folder's plan.yaml has other callers."""
    folder.used(plan("anna"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plan.yaml").write_text("{")
    other = folder.settings.model_copy(update={"dialplan": elsewhere / "plan.yaml"})
    with pytest.raises(OffhookError, match="does not start"):
        Beginning(other).first()
    assert list(Versions(other.plan_versions, other.dialplan).used()) == []

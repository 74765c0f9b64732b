"""A run as files: the page, JSON and JUnit. Nothing that a caller said can do anything in them."""

from __future__ import annotations

import io
import json
import re
import wave
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import av
import pytest

from offhook.replay.checking import Verdict, check
from offhook.replay.compare import compare
from offhook.replay.expectations import Expectations
from offhook.replay.measures import measure
from offhook.replay.report import write_report
from offhook.replay.report.charts import charts
from offhook.replay.report.data import word_diff
from offhook.replay.report.page import safe_json
from offhook.replay.report.sound import NoSound, opus, peaks
from offhook.replay.results import Result, exit_code, totals, worst_first, write_json, write_junit
from pipeline.events import Event
from tests.offhook.replay.calls import dentist, write_call

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>&\u2028"
WANTED = {"tools": [{"name": "book_appointment", "ok": True}], "interruptions": 0}


class Page(HTMLParser):
    """What a browser makes of the page's elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.raw: dict[str, str] = {}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = (dict(attrs).get("id") or "code") if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.raw[self._in] = self.raw.get(self._in, "") + data
        else:
            self.text.append(data)

    def call(self, place: int) -> dict[str, object]:
        found = json.loads(self.raw[f"call-{place}"])
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """A good call, a slow one, a broken one, one that cannot be read, one on which the judge is unsure."""
    root = tmp_path_factory.mktemp("calls")
    expected = Expectations.model_validate(WANTED)

    def result(name: str, events: list[Event], *more: Verdict) -> Result:
        call = measure(write_call(root, events, name, audio=True))
        return Result(name, call, (*check(call, expected), *more), compare(call, before))

    before = measure(write_call(root, dentist(), "before"))
    unsure = Verdict("judge: safety", "unsure", "split", judged=True, label="passed")
    return [
        result("good", dentist()),
        result("slow", dentist(llm_s=0.62)),
        result("broken", dentist(broken=True)),
        Result("noise.mp3", error="noise.mp3: is empty. Record it again."),
        result("unsure", dentist(), unsure),
    ]


def page(results: list[Result], tmp_path: Path, **options: object) -> Page:
    path = tmp_path / "report.html"
    write_report(results, path, **options)  # type: ignore[arg-type]
    return Page(path.read_text(encoding="utf-8"))


def evil_call(tmp_path: Path) -> Result:
    rows = [
        {"at": 1.0, "type": "UserTurnCommitted", "text": EVIL, "understood": True, "spoke_until": 0.9},
        {"at": 2.0, "type": "AgentStartedSpeaking", "agent": EVIL, "response_delay_ms": 100.0},
        {"at": 3.0, "type": "AgentSpoke", "agent": EVIL, "text": EVIL, "heard_ms": 1},
        {"at": 3.5, "type": "ToolCalled", "id": "1", "name": EVIL, "arguments": json.dumps({EVIL: EVIL})},
    ]
    call = measure(write_call(tmp_path, rows, facts={"caller": EVIL, "cause": EVIL}))
    return Result(EVIL, call, (Verdict(EVIL, "failed", EVIL),), compare(call, call), EVIL)


def test_the_worst_call_comes_first(run: list[Result]) -> None:
    assert [result.name for result in worst_first(run)] == ["noise.mp3", "broken", "slow", "unsure", "good"]
    assert [result.status for result in worst_first(run)] == [
        "error", "failed", "failed", "unsure", "passed",
    ]  # fmt: skip


def test_the_exit_code_tells_a_regression_from_a_doubt(run: list[Result]) -> None:
    good, slow, _, unreadable, unsure = run
    assert exit_code(run) == 1
    assert [exit_code([one]) for one in (good, slow, unreadable, unsure)] == [0, 1, 2, 2]
    assert exit_code([good, unsure]) == 2 and exit_code([]) == 0


def test_a_transcript_with_a_script_does_not_run_in_the_page(tmp_path: Path) -> None:
    """No element and no attribute comes of what was said, and the words are all there."""
    innocent = page([Result("x", error="y")], tmp_path)
    found = page([evil_call(tmp_path)], tmp_path)
    scripts = [attributes for tag, attributes in found.tags if tag == "script"]
    assert [script.get("type") for script in scripts] == [None, "application/json"]
    assert not [tag for tag, _ in found.tags if tag in ("img", "iframe", "object")]
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert found.raw["code"] == innocent.raw["code"]
    assert found.call(0)["name"] == EVIL
    assert EVIL in "".join(found.text)


def test_the_script_makes_text_of_words_and_never_elements(tmp_path: Path) -> None:
    code = page([], tmp_path).raw["code"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", code)


def test_the_page_needs_nothing_but_itself(run: list[Result], tmp_path: Path) -> None:
    found = page(run, tmp_path)
    for tag, attributes in found.tags:
        for name in ("src", "href", "data", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, name)
    policy = next(one["content"] for tag, one in found.tags if one.get("http-equiv"))
    assert policy and policy.startswith("default-src 'none'; script-src 'sha256-")
    style = (
        (tmp_path / "report.html")
        .read_text(encoding="utf-8")
        .partition("<style>")[2]
        .partition("</style>")[0]
    )
    assert "@import" not in style and not re.search(r"url\((?!#)", style)


def test_json_in_a_page_cannot_end_its_element() -> None:
    text = safe_json({"text": EVIL, "bad": "\udcff"})
    assert not set("<>&'\u2028") & set(text)
    assert json.loads(text)["text"] == EVIL


def test_each_call_is_in_the_page_with_its_sound_and_its_difference(
    run: list[Result], tmp_path: Path
) -> None:
    found = page(run, tmp_path)
    broken = found.call(1)
    assert broken["name"] == "broken" and broken["status"] == "failed"
    assert [one["kind"] for one in broken["findings"]] == ["tool failed"]  # type: ignore[attr-defined]
    with av.open(io.BytesIO(b64decode(found.raw["sound-1"]))) as sound:
        assert sound.streams.audio[0].codec_context.name.endswith("opus")
        assert sound.streams.audio[0].codec_context.channels == 2
    assert "noise.mp3: is empty. Record it again." in "".join(found.text)


def test_without_audio_the_page_is_small_and_says_where_the_sound_is(
    run: list[Result], tmp_path: Path
) -> None:
    found = page(run, tmp_path, audio=False)
    assert not [name for name in found.raw if name.startswith("sound-")]
    assert "audio.wav" in str(found.call(1)["no_sound"])
    assert (tmp_path / "report.html").stat().st_size < 150_000


def test_sound_goes_to_the_worst_calls_first(run: list[Result], tmp_path: Path) -> None:
    found = page(run, tmp_path, sound_bytes=1)
    assert [name for name in found.raw if name.startswith("sound-")] == ["sound-1"]


def test_peaks_and_opus_last_as_long_as_the_recording(run: list[Result]) -> None:
    assert run[0].measures is not None
    path = run[0].measures.path / "audio.wav"
    with wave.open(str(path)) as file:
        length_s = file.getnframes() / file.getframerate()
    drawn = peaks(path)
    loud = b64decode(drawn["agent"])
    assert len(loud) * drawn["step_s"] == pytest.approx(length_s, abs=drawn["step_s"])
    assert loud[round(0.3 / drawn["step_s"])] > 150  # the greeting
    assert b64decode(drawn["caller"])[round(0.3 / drawn["step_s"])] == 0
    with av.open(io.BytesIO(opus(path)), "r") as sound:
        played_s = sum(frame.samples / frame.sample_rate for frame in sound.decode(audio=0))
    assert played_s == pytest.approx(length_s, abs=0.1)


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"no sound at all" * 99])
def test_a_damaged_recording_costs_its_waveform_only(tmp_path: Path, content: bytes) -> None:
    path = write_call(tmp_path, dentist())
    (path / "audio.wav").write_bytes(content)
    with pytest.raises(NoSound, match=r"audio.wav: cannot be read: .* Is the file whole\?"):
        opus(path / "audio.wav")
    found = page([Result("c", measure(path))], tmp_path)
    assert "cannot be read" in str(found.call(0)["no_sound"])


def test_each_bar_of_a_chart_knows_the_calls_behind_it(run: list[Result]) -> None:
    drawn = {chart.name: chart for chart in charts([result.measures for result in run])}
    assert list(drawn) == ["delay", "cut-ins", "silence", "talk"]
    assert {bar.label: bar.calls for bar in drawn["delay"].bars} == {
        "900 to 1000 ms: 12": (0, 2, 4),
        "1300 to 1400 ms: 4": (1,),
    }
    assert drawn["delay"].summary == "p50 900 ms · p95 1320 ms · max 1320 ms"
    assert all(bar.x >= 0 and bar.x + bar.width <= 360 for chart in drawn.values() for bar in chart.bars)
    assert charts([None]) == []


def test_a_run_is_summed_up_with_the_judges_agreement(run: list[Result]) -> None:
    summed = totals(run)
    assert (summed.calls, summed.passed, summed.failed, summed.unsure, summed.errors) == (5, 1, 2, 1, 1)
    assert summed.agreement is not None and summed.agreement.raw == 0.0


def test_json_has_the_documented_fields(run: list[Result], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json(run, path)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["schema"], told["exit_code"], told["totals"]["calls"]) == (1, 1, 5)
    names = set(told) | set(told["totals"]) | {key for call in told["calls"] for key in call}
    broken = told["calls"][1]
    names |= set(broken["turns"][2]) | set(broken["findings"][0]) | set(broken["verdicts"][0])
    guide = Path(__file__).parents[3] / "docs" / "replay-report.md"
    documented = set(re.findall(r"`(\w+)`", guide.read_text(encoding="utf-8")))
    assert names - documented == set()
    assert broken["turns"][2]["delay"]["total_ms"] == 900.0
    assert broken["turns"][2]["tools"][0]["ok"] is False


def test_junit_counts_failures_and_names_the_turn(run: list[Result], tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    write_junit([*run, evil_call(tmp_path), Result("bell\x07", error="\x00")], path)
    root = ElementTree.parse(path).getroot()
    suites = {suite.get("name"): suite for suite in root}
    assert suites["broken"].get("failures") == "2" and suites["unsure"].get("skipped") == "1"
    assert suites["noise.mp3"].find("testcase/error") is not None
    failures = [failure.get("message") or "" for failure in suites["broken"].iter("failure")]
    assert failures == [
        "it was book_appointment(day='friday', hour=9) which failed (turn 2)",
        "tool book_appointment now fails: 'the calendar is closed' (turn 2)",
    ]
    assert int(root.get("tests", "0")) == len(list(root.iter("testcase")))


def test_words_that_changed_are_told_apart_from_those_that_did_not() -> None:
    assert word_diff("at nine on friday", "at ten on friday") == [
        ("=", "at"), ("-", "nine"), ("+", "ten"), ("=", "on friday"),
    ]  # fmt: skip
    assert word_diff("", "new") == [("+", "new")]

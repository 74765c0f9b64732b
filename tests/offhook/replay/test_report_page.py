"""The report as somebody sees it who opens it: in Chromium, with its keyboard, its mouse and its printer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.replay.checking import check
from offhook.replay.compare import compare
from offhook.replay.expectations import Expectations
from offhook.replay.measures import measure
from offhook.replay.report import write_report
from offhook.replay.results import Result
from tests.offhook.replay.browser import Tab, browser, found
from tests.offhook.replay.calls import dentist, write_call

pytestmark = [
    pytest.mark.skipif(found() is None, reason="no Chromium here"),
    pytest.mark.timeout(180),
]

SHOWN = "[...document.querySelectorAll('#list tbody tr')].filter((row) => !row.hidden)"
NAMES = f"{SHOWN}.map((row) => row.querySelector('a').textContent)"
CALL = "document.querySelector('#detail h2')?.textContent ?? ''"
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five calls: one that cannot be read, a broken one, a slow one, a good one, one in which nobody answered."""
    root = tmp_path_factory.mktemp("calls")
    wanted = Expectations.model_validate({"tools": [{"name": "book_appointment", "ok": True}]})
    before = measure(write_call(root, dentist(), "before"))

    def result(name: str, **how: float | bool) -> Result:
        call = measure(write_call(root, dentist(**how), name, audio=True))  # type: ignore[arg-type]
        return Result(name, call, tuple(check(call, wanted)), compare(call, before))

    good = result("good")
    assert good.measures is not None
    mute = replace(good.measures, turns=good.measures.turns[:1])
    results = [
        good,
        result("slow", llm_s=0.62),
        result("broken", broken=True),
        Result("noise.mp3", error="noise.mp3: is empty. Record it again."),
        Result("mute", mute),
    ]
    path = root / "report.html"
    write_report(results, path, title="Tuesday")
    return path


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browser() as one:
        yield one
        assert one.errors == []


async def _chosen(tab: Tab) -> str:
    await tab.ask(SETTLED)
    return str(await tab.ask(CALL))


async def test_the_list_is_searched_filtered_and_sorted(page: Path, tab: Tab) -> None:
    await tab.open(page)
    assert await tab.ask(NAMES) == ["noise.mp3", "broken", "slow", "good", "mute"]
    await tab.click("#search")
    await tab.type("book_appointment")
    assert await tab.ask(NAMES) == ["broken"]
    assert await tab.ask("$('shown').textContent") == "1 of 5 calls"
    await tab.click("#clear")
    await tab.ask("$('filter').value = 'failed'; $('filter').dispatchEvent(new Event('change'))")
    assert await tab.ask(NAMES) == ["broken", "slow"]
    await tab.click("#clear")
    p50 = "#list th.number:nth-of-type(5) button"
    await tab.click(p50)
    names = await tab.ask(NAMES)
    assert names[0] == "slow", "the biggest first"
    assert set(names[3:]) == {"noise.mp3", "mute"}, "of whom nothing is known"
    await tab.click(p50)
    names = await tab.ask(NAMES)
    assert names[2] == "slow", "the biggest last"
    assert set(names[3:]) == {"noise.mp3", "mute"}, "unknown is not small"
    assert await tab.ask("$('calls').textContent") == "Calls, by p50"


async def test_the_keyboard_goes_from_call_to_call_and_plays(page: Path, tab: Tab) -> None:
    """j, k, space, Escape. The sound plays, and the line on the time axis follows it."""
    await tab.open(page)
    await tab.press("j")
    assert await _chosen(tab) == "noise.mp3"
    await tab.press("j")
    assert await _chosen(tab) == "broken"
    await tab.press("j")
    assert await _chosen(tab) == "slow"
    await tab.press("k")
    assert await _chosen(tab) == "broken"
    playing = (
        "new Promise((done) => { const audio = document.querySelector('audio');"
        "const told = () => audio.currentTime > 0.2 && done([audio.paused, audio.duration]);"
        "audio.addEventListener('timeupdate', told); told(); })"
    )
    await tab.press(" ")
    paused, length_s = await tab.ask(playing)
    assert not paused
    assert 20.0 < length_s < 30.0
    moved = "document.querySelector('.playhead').getAttribute('x1')"
    await tab.ask(SETTLED)
    assert float(await tab.ask(moved)) > 0.0
    await tab.press(" ")
    assert await tab.ask("document.querySelector('audio').paused")
    await tab.press("Escape")
    assert await _chosen(tab) == ""
    assert await tab.ask("!$('overview').hidden")


async def test_the_transcript_and_the_finding_lead_to_the_place_in_the_sound(page: Path, tab: Tab) -> None:
    await tab.open(page, "#call=1")
    assert await _chosen(tab) == "broken"
    assert "tool book_appointment now fails" in await tab.ask(
        "document.querySelector('.found .bad').textContent"
    )
    for selector in (".found .bad button", ".lines li:nth-of-type(3) button"):
        await tab.click(selector)
        said = await tab.ask(f"document.querySelector('{selector}').textContent")
        minutes, seconds = said.split(":")
        at = await tab.ask("document.querySelector('audio').currentTime")
        assert abs(at - 60 * int(minutes) - float(seconds)) < 0.1
    assert await tab.ask("document.querySelectorAll('.lines li.now').length") >= 1
    assert (
        await tab.ask(
            "document.querySelectorAll('svg.timeline path.wave-caller, svg.timeline path.wave-agent').length"
        )
        == 2
    )


async def test_what_a_colour_says_is_said_in_another_way_too(page: Path, tab: Tab) -> None:
    """Results have a sign, parts of a delay a pattern of their own, silence is hatched."""
    await tab.open(page)
    signs = await tab.ask(
        "[...document.querySelectorAll('#list .badge')].map((one) => getComputedStyle(one, '::before').content)"
    )
    assert len(set(signs)) == 3, "not replayed, failed, passed"
    assert "none" not in signs
    await tab.open(page, "#call=2")
    await tab.ask(SETTLED)
    parts = ["stt", "tool-part", "tts", "own", "waited"]
    seen = {
        await tab.ask(
            f"(() => {{ const one = document.createElement('i'); one.className = '{part}'; document.body.append(one);"
            "const image = getComputedStyle(one).backgroundImage; one.remove(); return image; })()"
        )
        for part in parts
    }
    assert len(seen) == len(parts)
    fills = await tab.ask("[...document.querySelectorAll('.silence')].map((one) => one.getAttribute('fill'))")
    assert fills
    assert all([await tab.ask(f"!!document.querySelector('{fill[4:-1]}')") for fill in fills])


async def test_an_open_call_is_printed_alone_and_the_list_with_its_worst_calls(page: Path, tab: Tab) -> None:
    await tab.open(page)
    whole = await tab.print()
    await tab.open(page, "#call=3")
    await tab.ask(SETTLED)
    alone = await tab.print()
    assert 1 <= _pages(alone) <= 2
    assert _pages(whole) > _pages(alone)


def _pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


@pytest.mark.parametrize("width", [1280, 390])
async def test_nothing_hangs_over_the_edge_of_the_window(page: Path, tab: Tab, width: int) -> None:
    await tab.look(width, 800)
    for anchor in ("", "#call=1", "#call=3"):
        await tab.open(page, anchor)
        await tab.ask(SETTLED)
        assert await tab.ask("document.documentElement.scrollWidth") <= width

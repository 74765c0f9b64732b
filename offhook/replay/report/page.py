"""Writes the page: list and charts as HTML that needs no script, each call as data that is drawn when it is opened.

Whatever was said is data: the template escapes it, the script only ever makes text of it, and the page's own policy
runs no script but ours and loads nothing. Sound goes to the worst calls first, as far as `sound_bytes` reaches.
Driven by `offhook replay --report`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from offhook.replay.measures import Spread
from offhook.replay.report.charts import charts
from offhook.replay.report.data import call_data
from offhook.replay.report.sound import NoSound, opus
from offhook.replay.results import Result, totals, worst_first

TEMPLATES = Path(__file__).parent / "templates"
SOUND_BYTES = 150_000_000  # a browser opens such a file; a mail does not take it
PRINTED = 20  # calls that are printed in full: the worst

UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&'\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Embedded:
    """One call in the page. sound: base64 of Ogg Opus, "" for none."""

    place: int
    data: Markup
    sound: str


def write_report(
    results: Sequence[Result],
    path: Path,
    *,
    title: str = "Replay",
    made: str = "",
    audio: bool = True,
    sound_bytes: int = SOUND_BYTES,
) -> None:
    """Write one HTML file that needs nothing else. Raises OSError.

    made: when and from what, for the reader. audio: embed recordings, the worst calls' first, up to `sound_bytes`."""
    ordered = worst_first(results)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    stream = (
        _environment()
        .get_template("report.html.j2")
        .stream(
            title=title,
            made=made,
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
            results=ordered,
            totals=totals(ordered),
            before=_before(ordered),
            charts=charts([result.measures for result in ordered]),
            embedded=_embedded(ordered, sound_bytes if audio else 0),
            printed=PRINTED,
        )
    )
    with path.open("wb") as file:
        stream.dump(file, encoding="utf-8")


def safe_json(value: Any) -> Markup:
    """JSON that can stand inside a <script> element: no text in it can end the element or begin another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=list)
    return Markup(text.encode("utf-8", "replace").decode().translate(UNSAFE))


def _embedded(results: Sequence[Result], sound_bytes: int) -> Iterator[Embedded]:
    """One call after the other, so that a thousand recordings are never in memory at once."""
    for place, result in enumerate(results):
        data, sound = call_data(result), ""
        if "peaks" in data and result.measures is not None:
            if sound_bytes > 0:
                sound, problem = _sound(result.measures.path / "audio.wav")
                data |= {"no_sound": problem} if problem else {}
                sound_bytes -= len(sound)
            else:
                data["no_sound"] = f"left out of this page; it is in {result.measures.path / 'audio.wav'}"
        yield Embedded(place, safe_json(data), sound)


def _sound(path: Path) -> tuple[str, str]:
    """The sound for the page, or why there is none."""
    try:
        return b64encode(opus(path)).decode(), ""
    except NoSound as error:
        return "", str(error)


def _before(results: Sequence[Result]) -> dict[str, Any]:
    """The baselines of all calls in a few numbers; empty if nothing was compared."""
    calls = [result.difference.baseline for result in results if result.difference]
    known = [call for call in calls if call is not None]
    if not known:
        return {}
    delays = Spread.of(delay.total_ms for call in known for delay in call.delays)
    return {"response_delay_ms": delays, "cut_ins": sum(len(call.cut_ins) for call in known)}


@cache
def _environment() -> Environment:
    loader = PackageLoader("offhook.replay.report", "templates")
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"ms": _ms, "clock": _clock, "share": _share, "said": _said}
    return made


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _said(result: Result) -> str:
    """What can be searched for besides what the list shows."""
    call = result.measures
    return " ".join(f"{call.said('caller')} {call.said('agent')}".casefold().split()) if call else ""

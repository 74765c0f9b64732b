"""One call as the page's script draws it: plain values, made when the page is written, read when the call is opened.

Pure but for the sound, which it has read. Driven by page.py."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

from offhook.replay.compare import Difference
from offhook.replay.findings import Pair
from offhook.replay.measures import CallMeasures
from offhook.replay.report.sound import NoSound, peaks
from offhook.replay.results import Result, call_json
from offhook.replay.turns import Turn

FACTS = ("caller", "called", "agent", "started")


def call_data(result: Result) -> dict[str, Any]:
    """Everything that the page shows of one call, except its sound."""
    told = call_json(result)
    if result.measures is None:
        return told
    call = result.measures
    told["facts"] = {key: str(call.facts[key]) for key in FACTS if call.facts.get(key)}
    told["caller_speech"], told["agent_speech"] = call.caller_speech, call.agent_speech
    told["key_presses"] = call.keys
    told |= _drawn(call)
    if (difference := result.difference) is not None:
        told["pairs"] = [_pair(pair) for pair in difference.pairs]
        told["ghost"] = _ghost(difference)
    return told


def _drawn(call: CallMeasures) -> dict[str, Any]:
    sound = call.path / "audio.wav"
    if not sound.is_file():
        return {"no_sound": "this call was not recorded"}
    try:
        return {"peaks": peaks(sound)}
    except NoSound as error:
        return {"no_sound": str(error)}


def _ghost(difference: Difference) -> dict[str, Any]:
    """The baseline, to be drawn below the call."""
    before = difference.baseline
    if before is None:
        return {}
    return {"caller": before.caller_speech, "agent": before.agent_speech, "length_s": before.length_s}


def _pair(pair: Pair) -> dict[str, Any]:
    """A turn beside its baseline. caller, agent: pieces of text, each the same (=), gone (-) or new (+)."""
    now, before = pair
    delays = [turn.delay.total_ms if turn and turn.delay else None for turn in pair]
    return {
        "now": now.number if now else None,
        "before": before.number if before else None,
        "alike": pair.alike,
        "caller": word_diff(before.text if before else "", now.text if now else ""),
        "agent": word_diff(before.answer if before else "", now.answer if now else ""),
        "deeds": [_deeds(now), _deeds(before)],
        "delay_ms": delays,
    }


def _deeds(turn: Turn | None) -> list[str]:
    """What the agent did in a turn besides talking."""
    return [text for _, text in turn.deeds() if not text.startswith("agent ")] if turn else []


def word_diff(before: str, now: str) -> list[tuple[str, str]]:
    """What became of a text, word by word: ("=", same), ("-", gone), ("+", new)."""
    old, new = re.findall(r"\S+", before), re.findall(r"\S+", now)
    pieces: list[tuple[str, str]] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(("=", " ".join(new[c:d])))
            continue
        if b > a:
            pieces.append(("-", " ".join(old[a:b])))
        if d > c:
            pieces.append(("+", " ".join(new[c:d])))
    return pieces

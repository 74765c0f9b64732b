"""A key is nowhere to be read: not in the log, the journal or the record of a call whose providers quote it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from offhook.softphone import Line, place_call, read_clip
from tests.live.server import CONSOLE, running_server

pytestmark = pytest.mark.timeout(120)

KEY = "plain-sesame-4711-of-acme"  # nothing about it looks like a key
ACME = '''
"""Providers of a third party that know no shame: everything they raise quotes their key."""
import os

from pipeline.errors import ProviderError

KEY = os.environ["ACME_API_KEY"]


def refused():
    try:
        raise ValueError(f"401 for Authorization: {KEY}")
    except ValueError as error:
        return error


class AcmeStt:
    name = "acme"

    async def warm(self):
        raise RuntimeError(f"handshake with {KEY} failed")

    async def open(self, *, rate_hz, hints):
        raise OSError(f"no route for {KEY}") from refused()


class AcmeLlm:
    name = "acme"

    async def chat(self, messages, tools=(), *, tool_choice="auto"):
        raise ProviderError("acme", "auth", f"the key {KEY} is not known") from refused()
        yield


class AcmeTts:
    name, rate_hz = "acme", 8000

    async def open(self, voice):
        raise KeyError(KEY) from refused()
'''
PLAN = """
version: 1
agents:
  team:
    greeting: Hello.
    stt: [acme, pocketsphinx]
    llm: [acme, scripted]
    tts: [acme, espeak]
    script: {intents: [{name: hours, phrases: [what are your opening hours], say: From nine to five.}]}
  alone: {greeting: Hello., llm: acme, instructions: Help., stt: pocketsphinx, tts: espeak,
          phrases: [what are your opening hours]}
numbers:
  - {number: "100", agent: team}
  - {number: "101", agent: alone}
"""


def _install(folder: Path) -> None:
    (folder / "acme_speech.py").write_text(ACME)
    info = folder / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    kinds = "".join(f"{kind}.acme = acme_speech:Acme{kind.capitalize()}\n" for kind in ("stt", "llm", "tts"))
    keys = "".join(f"{kind}.acme = ACME_API_KEY\n" for kind in ("stt", "llm", "tts"))
    (info / "entry_points.txt").write_text(f"[offhook.providers]\n{kinds}[offhook.provider_keys]\n{keys}")


def _holding(folder: Path) -> list[Path]:
    """Files in which the key stands."""
    return [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


async def test_a_key_that_failing_providers_quote_is_in_no_log_and_no_record(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls: one whose stand-ins serve it, one that nobody can serve. All files and lines are searched."""
    (tmp_path / "site").mkdir()
    _install(tmp_path / "site")
    monkeypatch.setenv("ACME_API_KEY", KEY)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    settings = "log: {level: debug}\n"
    async with running_server(
        tmp_path, spares=0, console=CONSOLE, dialplan=plan, workers=1, settings=settings
    ) as server:
        for number in ("100", "101"):
            line = Line("hours", read_clip(recordings / "opening_hours.wav"))
            await asyncio.wait_for(place_call(server.uri(number), [line], timeout_s=30, linger=False), 40)
        for call in server.calls():
            await server.finished(call)
        failures = [event for call in server.calls() for event in call.of("ProviderFailed")]
        switches = [event for call in server.calls() for event in call.of("ProviderSwitched")]
        assert {event["kind"] for event in switches} == {"stt", "llm", "tts"}, "all three have failed"
        assert failures and "***" in failures[0]["message"], failures
    said = [line for line in server.log if KEY in line]
    assert not said, "\n".join(line.replace(KEY, "<the key>") for line in said)
    assert any("***" in line for line in server.log), "the log has met the key, and masked it"
    assert not await asyncio.to_thread(_holding, tmp_path)


async def test_a_server_without_keys_takes_calls_and_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped settings: two workers find it out, the operator reads it once."""
    for name in ("GROQ_API_KEY", "ELEVENLABS_API_KEY"):
        monkeypatch.setenv(name, "")
    async with running_server(tmp_path, spares=0, console=CONSOLE, workers=2) as server:
        await server.until(lambda: len(server.children()) >= 4, "two workers, models and console", 20)
    (line,) = [line for line in server.log if "API_KEY" in line]
    assert "provider_without_key" in line
    assert "llm scripted for groq, stt pocketsphinx for groq, tts espeak for elevenlabs" in line

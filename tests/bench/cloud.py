"""How long callers wait on Groq and ElevenLabs, and for what: the demo conversation over SIP on their test servers.

    python -m tests.bench.cloud [--calls 6]    # about three minutes

The servers are processes that take as long as the vendors do (tests/live/cloud.py); the rest is a real `offhook serve`
with the shipped dial plan, and calls from our softphone. Twice: as it is shipped, where transcripts and answers are
made before the end of the turn is certain, and without that. Never a test."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from offhook.demo.story import caller_lines, departures
from pipeline.providers.keys import without_keys
from tests.bench.table import out
from tests.live.cloud import (
    LLM_S,
    RECORDINGS,
    STT_S,
    TOKENS_PER_S,
    TTS_MS,
    Cloud,
    phone,
    running_clinic,
    running_cloud,
    silences_s,
    with_keys,
)

PARTS = {
    "waited_ms": "end of turn",
    "stt_ms": "transcript",
    "llm_ms": "first sentence",
    "tool_ms": "tools",
    "tts_ms": "first sound",
    "own_ms": "Offhook",
}
APART_S = 0.7  # between two calls, so that they do not speak in step


@dataclass
class Measured:
    """One way to run. answers: AgentStartedSpeaking of everything that a caller waited for. heard_ms: of the same, from
    the last word to the first sound in the phones' recordings, their jitter buffers included."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    heard_ms: list[float] = field(default_factory=list)
    used: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def main(calls: int) -> None:
    """Measure and print."""
    with_keys(os.environ)
    out.print(
        f"transcript {1000 * STT_S:.0f} ms, first token {1000 * LLM_S:.0f} ms and {TOKENS_PER_S} tokens/s, "
        f"first sound {TTS_MS} ms; {calls} calls",
        style="dim",
    )
    ways = {}
    async with running_cloud() as cloud:
        for title, speculative in (("as shipped", True), ("without speculation", False)):
            with tempfile.TemporaryDirectory(prefix="cloud-") as folder:
                ways[title] = await _measured(Path(folder), cloud, calls, speculative=speculative)
    out.print(_table(ways))
    for title, way in ways.items():
        out.print(f"{title}: {_bill(way)}", style="dim")
        for text in way.wrong:
            out.print(f"{title}: not as it should be: {text}", style="red")


async def _measured(folder: Path, cloud: Cloud, calls: int, *, speculative: bool) -> Measured:
    found = Measured()
    async with running_clinic(folder, cloud, speculative=speculative) as server:

        async def one(number: int) -> None:
            await asyncio.sleep(number * APART_S)
            heard = folder / f"{number}.wav"
            await phone(server, caller_lines(RECORDINGS), heard)
            found.heard_ms += [1000 * gap for gap in await asyncio.to_thread(silences_s, heard)]

        await asyncio.gather(*[one(number) for number in range(calls)])
        await server.idle()
        for call in server.calls():
            facts = await server.finished(call)
            started = call.of("AgentStartedSpeaking")
            found.answers += [event for event in started if event["response_delay_ms"] is not None]
            found.used.append(facts["usage"])
            found.wrong += departures(call.events)
    return found


def _table(ways: dict[str, Measured]) -> Table:
    table = Table(title="from the caller's last word to the first packet of the answer, ms: p50 / p95")
    table.add_column("")
    for title in ways:
        table.add_column(title, justify="right")
    rows = {"at our RTP socket": "response_delay_ms"} | {f"  {text}": key for key, text in PARTS.items()}
    for text, key in rows.items():
        table.add_row(text, *[_spread([event[key] for event in way.answers]) for way in ways.values()])
    table.add_row("as the phone heard it", *[_spread(way.heard_ms) for way in ways.values()])
    table.add_row("answers", *[str(len(way.answers)) for way in ways.values()])
    return table


def _bill(way: Measured) -> str:
    """What a call uses up, on average."""

    def mean(kind: str, provider: str, unit: str = "") -> float:
        values = [used[kind].get(provider, 0) for used in way.used]
        return float(sum(value[unit] if unit else value for value in values)) / max(1, len(values))

    seconds, letters = mean("recognisers", "groq"), mean("voices", "elevenlabs")
    tokens = mean("models", "groq", "output_tokens")
    return f"a call uses {seconds:.0f} s of transcription, {tokens:.0f} tokens of answers, {letters:.0f} characters"


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    if not ordered:
        return "–"
    p50, p95 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
    return f"{p50:.0f} / {p95:.0f}"


if __name__ == "__main__":
    os.environ.update(without_keys(os.environ))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=6, help="at once")
    asyncio.run(main(parser.parse_args().calls))

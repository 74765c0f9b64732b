"""The demo conversation on Groq and ElevenLabs: their test servers as processes, a real server, calls over SIP.

Shared by tests/live/test_cloud_stack.py and `python -m tests.bench.cloud`. The servers take as long as the vendors do:
150 ms for a transcript, 200 ms to a first token and 100 tokens a second after it, 80 ms to the first sound."""

from __future__ import annotations

import asyncio
import os
import sys
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from offhook.demo.story import CLIPS
from offhook.softphone import CallResult, Line, place_call, read_clip
from tests.live.server import DIALPLAN, REPOSITORY, Server, running_server
from tests.live.sound import FRAME_S, FRAME_SAMPLES, RATE_HZ
from tests.pipeline.providers.servers.elevenlabs import KEY as ELEVENLABS_KEY

RECORDINGS = REPOSITORY / "tests" / "recordings"
SERVERS = "tests.pipeline.providers.servers"
RULES = Path(__file__).parent / "clinic_model.yaml"
STT_S, LLM_S, TOKENS_PER_S, TTS_MS = 0.150, 0.200, 100, 80
CHUNK_MS = 50  # between two messages of 7 letters: several times as fast as it sounds
MS_PER_CHAR = 60  # as people speak
KEYS = {"GROQ_API_KEY": "gsk_test_0123456789", "ELEVENLABS_API_KEY": ELEVENLABS_KEY}
UNSET = ("GROQ_BASE_URL",)
WORDS = {clip.expects: clip.file for clip in CLIPS} | {
    "i would like to make an appointment": "appointment.wav",
    "on friday": "friday.wav",
}
AUDIBLE_RMS = 200.0


class Vendor:
    """One server, as a process that can be killed."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process, self.url = process, url

    async def kill(self) -> None:
        """Without a warning: connections are cut, and nobody answers any more."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@dataclass(frozen=True, slots=True)
class Cloud:
    """Groq's recogniser, Groq's models and ElevenLabs' voices, each a process of its own."""

    stt: Vendor
    llm: Vendor
    tts: Vendor

    def settings(self, *, speculative: bool = True) -> str:
        """Those that are shipped, and where the servers are. speculative: transcribe before the turn is over."""
        never = {} if speculative else {"silence_ms": 0, "every_ms": 0}
        providers = {
            "stt": [{"provider": "groq", "base_url": self.stt.url, **never}, "pocketsphinx"],
            "llm": [{"provider": "groq", "base_url": self.llm.url}, "scripted"],
            "tts": [{"provider": "elevenlabs", "base_url": self.tts.url}, "espeak"],
        }
        return yaml.safe_dump({"providers": providers, "log": {"level": "warning"}})


@asynccontextmanager
async def running_cloud(*, ms_per_char: int = MS_PER_CHAR) -> AsyncIterator[Cloud]:
    """The three servers, until they are killed or this ends. ms_per_char: how slowly the voice speaks."""
    clips = [f"--clip={words}={RECORDINGS / file}" for words, file in WORDS.items()]
    delays = [f"--stt-delay={STT_S}", f"--chat-delay={LLM_S}", f"--tokens-per-s={TOKENS_PER_S}"]
    async with AsyncExitStack() as running:
        vendors = [
            await running.enter_async_context(_vendor(*command))
            for command in (
                ("openai_like", *delays, *clips),
                ("openai_like", *delays, f"--rules={RULES}"),
                (
                    "elevenlabs",
                    f"--first-byte-ms={TTS_MS}",
                    f"--chunk-ms={CHUNK_MS}",
                    f"--ms-per-char={ms_per_char}",
                ),
            )
        ]
        yield Cloud(*vendors)


@asynccontextmanager
async def _vendor(module: str, *arguments: str) -> AsyncIterator[Vendor]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"{SERVERS}.{module}",
        *arguments,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    vendor = Vendor(process, (await process.stdout.readline()).decode().strip())
    try:
        yield vendor
    finally:
        await vendor.kill()


@asynccontextmanager
async def running_clinic(folder: Path, cloud: Cloud, *, speculative: bool = True) -> AsyncIterator[Server]:
    """`offhook serve` with the shipped dial plan on these servers. `with_keys` has set the keys."""
    plan = DIALPLAN if speculative else await asyncio.to_thread(_without_speculation, folder)
    settings = cloud.settings(speculative=speculative)
    async with running_server(folder, spares=0, dialplan=plan, workers=1, settings=settings) as server:
        yield server


def with_keys(environment: dict[str, str] | os._Environ[str]) -> None:
    """Set the keys of the test servers."""
    environment.update(KEYS)
    for name in UNSET:
        environment.pop(name, None)


def _without_speculation(folder: Path) -> Path:
    """The shipped plan whose agents begin to think when the turn is over."""
    plan = yaml.safe_load(DIALPLAN.read_text(encoding="utf-8"))
    plan["defaults"]["turn_handling"] = {"preemptive": False, "preemptive_tts": False}
    copy = folder / "plan.yaml"
    copy.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return copy


def says(words: str, *, over_s: float | None = None) -> Line:
    """A line of the caller's."""
    return Line(words, read_clip(RECORDINGS / WORDS[words]), over_s=over_s)


async def phone(
    server: Server, lines: Sequence[Line], heard: Path, *, on_line: Callable[[Line], None] = lambda _: None
) -> CallResult:
    """One call, recorded by the phone: what it heard left, what it said right."""
    return await place_call(server.uri(), lines, record=heard, timeout_s=150, linger=True, on_line=on_line)


def silences_s(recording: Path) -> list[float]:
    """From the end of each thing that the phone said to the beginning of what it heard next, in s."""
    heard, said = _loud(recording)
    gaps, spoke_until = [], None
    for number, (theirs, ours) in enumerate(zip(heard, said, strict=True)):
        if ours:
            spoke_until = number
        elif theirs and spoke_until is not None:
            gaps.append((number - spoke_until) * FRAME_S)
            spoke_until = None
    return gaps


def longest_pause_s(recording: Path) -> float:
    """Within one answer, in s: silence of the far side that nobody's words of ours end."""
    heard, said = _loud(recording)
    longest, quiet, talking = 0, 0, False
    for theirs, ours in zip(heard, said, strict=True):
        if ours:
            talking = False
        elif theirs:
            longest = max(longest, quiet) if talking else longest
            talking, quiet = True, 0
        else:
            quiet += 1
    return longest * FRAME_S


def _loud(recording: Path) -> tuple[list[bool], list[bool]]:
    """Frame by frame: is there something to be heard, was there something said?"""
    with wave.open(str(recording), "rb") as file:
        assert (file.getnchannels(), file.getframerate()) == (2, RATE_HZ)
        both = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2).astype(np.float64)
    frames = both[: len(both) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES, 2)
    loud = np.sqrt((frames**2).mean(axis=1)) > AUDIBLE_RMS
    return loud[:, 0].tolist(), loud[:, 1].tolist()

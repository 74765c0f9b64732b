"""The providers of vendors, as conformance subjects: the real SDKs against the doubles of the vendors' servers.

Needs all extras, as `make test` installs them; a provider whose extra is not there fails its checks."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.providers.registry import Kind, create, takes
from pipeline.testing.conformance import Subject, Trouble
from tests.pipeline.providers.servers.anthropic import Anthropic
from tests.pipeline.providers.servers.cartesia import Cartesia
from tests.pipeline.providers.servers.deepgram import Deepgram
from tests.pipeline.providers.servers.difficult import (
    ALL,
    REFUSING,
    SECRET,
    Difficult,
    ElevenLabsDifficulties,
    Refusals,
    anthropic_refusal,
    google_refusal,
    handshake_refusal,
    openai_refusal,
)
from tests.pipeline.providers.servers.elevenlabs import KEY, ElevenLabsServer
from tests.pipeline.providers.servers.google import Google
from tests.pipeline.providers.servers.openai_for_livekit import OpenAi
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Reply
from tests.pipeline.providers.servers.serving import Server

Opened: TypeAlias = Callable[[], AbstractAsyncContextManager[Subject]]

LOUD = 300
HANDSHAKE: tuple[Trouble, ...] = (*REFUSING, "silent", "slow")  # what their doubles can do
KEYS = {
    **dict.fromkeys(
        ("GROQ_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"),
        SECRET,
    ),
    **dict.fromkeys(("VLLM_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY"), SECRET),
    "ELEVENLABS_API_KEY": KEY,
}
UNTOLD = "a plugin of LiveKit's does not tell an answer that is complete from one that ended early"
AHEAD = {"asks_once": "it also asks ahead of the turn's end; its kin vllm is examined without that"}
RAW = {"truncated": "raw sound has no end that could be missing"}


@contextmanager
def keys() -> Iterator[None]:
    """In the environment, while a provider of theirs is examined."""
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


class _Hears:
    """Ears of a server that understand the same in everything that is loud."""

    def __init__(self, text: str) -> None:
        self._text = text

    def heard(self, sound: NDArray[np.int16], rate_hz: int) -> str:
        return self._text if np.abs(sound.astype(np.int32)).max(initial=0) > LOUD else ""


def openai_like(
    kind: Kind,
    name: str,
    exempt: Mapping[str, str] | None = None,
    **options: Any,
) -> Opened:
    """A provider that speaks OpenAI's API."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        takes(kind, name, "base_url")  # loads its SDK, which is not what is examined
        difficult, server = Difficult(openai_refusal), OpenAiLike()

        def make(text: str) -> object:
            server.otherwise, server.ears = Reply(text), _Hears(text)
            return create(kind, name, {"base_url": f"{server.url}/v1", **options})

        with keys():
            async with server.running(attach=difficult.attach):
                yield Subject(kind, make, difficult, exempt=exempt or {})

    return opened


def served(
    kind: Kind,
    name: str,
    double: Callable[[], Server],
    refusal: Refusals,
    says: Callable[[Any, str], None],
    *,
    url: Callable[[str], str] = str,
    troubles: tuple[Trouble, ...] = ALL,
    exempt: Mapping[str, str] | None = None,
) -> Opened:
    """A provider with a double of its own. says(server, text): have it answer so. url: option from address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        takes(kind, name, "base_url")  # loads its SDK, which is not what is examined
        difficult, server = Difficult(refusal, troubles), double()

        def make(text: str) -> object:
            says(server, text)
            return create(kind, name, {"base_url": url(server.url)})

        with keys():
            async with server.serve(attach=difficult.attach):
                yield Subject(kind, make, difficult, exempt=exempt or {})

    return opened


def elevenlabs(kind: Kind, exempt: Mapping[str, str] | None = None) -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        with keys():
            async with ElevenLabsServer() as server:

                def make(text: str) -> object:
                    server.knobs.texts = [text] * 10
                    return create(kind, "elevenlabs", {"base_url": server.base_url})

                yield Subject(kind, make, ElevenLabsDifficulties(server, kind), exempt=exempt or {})

    return opened


def whisper() -> Opened:
    """Its model is one that says the same word whatever it hears."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        from tests.pipeline.providers.tiny_whisper import SAYS

        def make(_: str) -> object:
            return create("stt", "whisper", {"model": str(_tiny_model()), "device": "cpu", "threads": 1})

        yield Subject("stt", make, exempt={"unicode": "the model of the tests knows one word"}, text=SAYS)

    return opened


@cache
def _tiny_model() -> Path:
    from tests.pipeline.providers import tiny_whisper

    return tiny_whisper.write(Path(tempfile.mkdtemp(prefix="tiny-whisper-")))


def _replies(server: Any, text: str) -> None:
    server.replies = deque([text] * 50)


def _texts(server: Any, text: str) -> None:
    server.texts = deque([text] * 50)


def _whatever(server: Any, text: str) -> None:
    """A voice's server is told the text by its client."""


VENDORS: dict[tuple[Kind, str], Opened] = {
    ("stt", "groq"): openai_like("stt", "groq", AHEAD),
    ("stt", "openai"): openai_like("stt", "openai", AHEAD),
    ("stt", "vllm"): openai_like("stt", "vllm", model="whisper", silence_ms=0, every_ms=0),
    ("stt", "elevenlabs"): elevenlabs("stt"),
    ("llm", "groq"): openai_like("llm", "groq"),
    ("llm", "openai"): openai_like("llm", "openai"),
    ("llm", "openrouter"): openai_like("llm", "openrouter", model="some/model"),
    ("llm", "anthropic"): served("llm", "anthropic", Anthropic, anthropic_refusal, _replies),
    ("llm", "google"): served("llm", "google", Google, google_refusal, _replies),
    ("tts", "openai"): openai_like("tts", "openai", RAW),
    ("tts", "elevenlabs"): elevenlabs("tts"),
    ("stt", "whisper"): whisper(),
    ("stt", "livekit/deepgram"): served(
        "stt",
        "livekit/deepgram",
        Deepgram,
        handshake_refusal,
        _texts,
        url=lambda url: f"{url}/v1/listen",
        troubles=HANDSHAKE,
    ),
    ("llm", "livekit/openai"): served(
        "llm", "livekit/openai", OpenAi, openai_refusal, _replies, exempt={"truncated": UNTOLD}
    ),
    ("tts", "livekit/cartesia"): served(
        "tts", "livekit/cartesia", Cartesia, handshake_refusal, _whatever, troubles=HANDSHAKE
    ),
}

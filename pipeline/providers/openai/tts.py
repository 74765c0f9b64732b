"""Voices behind audio/speech: one request a piece, its sound streamed as raw PCM of 24 kHz.

The next piece is asked for while one is still coming, so that there is no gap between two sentences. Not resampled
here: the session does that (speaking/resample.py). No word times. Source: OpenAI's API reference, Create speech."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar, TypeAlias

import numpy as np

from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import SpeechChunk, Voice
from pipeline.providers.blame import failed
from pipeline.providers.openai import vendors
from pipeline.providers.openai.vendors import Vendor, connection
from pipeline.providers.sdk_client import SdkProvider

RATE_HZ = 24000
AHEAD = 2  # pieces that are made at once
BEGINS_BYTES = 4800  # of sound, 0.1 s: not so little that a chunk is one packet's worth
GOODBYE_S = 0.05
SPEEDS = (0.25, 4.0)
KNOWN = ("instructions",)


Speech: TypeAlias = Callable[[str], AsyncGenerator[bytes, None]]  # text → its sound, as it comes


class OpenAiTts(SdkProvider):
    """Key: OPENAI_API_KEY.

    model: gpt-4o-mini-tts, tts-1, or what the server has. voice: such as marin or cedar; the agent's own wins.
    instructions: how to speak ("calm, like a receptionist"); not for tts-1. speed: 0.25 to 4.0. timeout_s: the longest
    silence of the server, in s. pcm_hz: of another server's raw sound. base_url: of another server; else
    OPENAI_BASE_URL, else the vendor's.
    """

    name = "openai"
    VENDOR: ClassVar[Vendor] = vendors.OPENAI
    MODEL: ClassVar[str] = "gpt-4o-mini-tts"

    def __init__(
        self,
        *,
        model: str = "",
        voice: str = "marin",
        instructions: str = "",
        speed: float = 1.0,
        timeout_s: float = 5.0,
        pcm_hz: int = RATE_HZ,
        base_url: str = "",
        api_version: str = "",
        deployment: str = "",
    ) -> None:
        self._model = model or deployment or self.MODEL
        if not self._model:
            raise ConfigError(f"tts {self.name}: option 'model' is missing. Name one that the server has.")
        self.rate_hz = pcm_hz
        self._voice, self._instructions, self._speed = voice, instructions, speed
        sdk = connection(self.VENDOR, base_url, timeout_s, api_version=api_version, deployment=deployment)
        super().__init__(sdk)
        self._request(Voice())

    async def open(self, voice: Voice) -> OpenAiTtsStream:
        """Raises ConfigError for an option or a speed that there is not."""
        request = self._request(voice)
        return OpenAiTtsStream(lambda text: self._speech({**request, "input": text}))

    def _request(self, voice: Voice) -> dict[str, Any]:
        unknown = set(voice.options) - set(KNOWN)
        if unknown:
            raise ConfigError(
                f"tts {self.name}: voice has no option {min(unknown)!r}. Known: {', '.join(KNOWN)}."
            )
        speed = voice.speed * self._speed
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise ConfigError(f"tts {self.name}: speed is {speed:g}. Choose {SPEEDS[0]} to {SPEEDS[1]}.")
        request: dict[str, Any] = {
            "model": self._model,
            "voice": voice.name or self._voice,
            "response_format": "pcm",
        }
        if speed != 1.0:
            request["speed"] = speed
        if instructions := voice.options.get("instructions", self._instructions):
            request["instructions"] = instructions
        return request

    async def _speech(self, request: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """The sound of one piece, as it comes. Raises ProviderError."""
        self._sdk.check()
        with self._sdk.blamed():
            streaming = self._sdk.client.audio.speech.with_streaming_response
            async with streaming.create(**request) as response:
                self._sdk.note(response.headers)
                kind = str(response.headers.get("content-type", ""))
                if kind.startswith(("application/json", "text/")):
                    raise failed(self.name, "server", f"{kind} instead of sound")
                empty = True
                async for data in response.iter_bytes():
                    empty = empty and not data
                    yield data
                if empty:
                    raise failed(self.name, "server", "no sound")


class _Piece:
    """What say() gave: its sound is fetched by a task of its own, ahead of its turn."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sound: asyncio.Queue[bytes | ProviderError | None] = asyncio.Queue()  # None: complete
        self.task: asyncio.Task[None] | None = None


class OpenAiTtsStream:
    """One reply being spoken."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._pieces: deque[_Piece] = deque()  # the first one is being told
        self._told = 0
        self._rest = b""
        self._finished = self._closed = False
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self, text: str) -> None:
        if not self._closed:
            self._pieces.append(_Piece(text))
            self._begin()

    def finish(self) -> None:
        self._finished = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        while not self._closed:
            if not self._pieces:
                if self._finished:
                    break
                self._news.clear()
                await self._news.wait()
                continue
            sound = await self._pieces[0].sound.get()
            if self._closed:
                break
            if isinstance(sound, ProviderError):
                raise sound
            if sound is None:
                return self._over()
            sound = self._rest + sound
            even = len(sound) & ~1
            self._rest = sound[even:]
            if even:
                return SpeechChunk(np.frombuffer(sound[:even], np.int16), self._told)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True
        self._news.set()
        for piece in self._pieces:
            piece.sound.put_nowait(None)  # whoever waits for it finds the stream closed
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GOODBYE_S)

    def _over(self) -> SpeechChunk:
        piece, self._told, self._rest = self._told, self._told + 1, b""
        self._pieces.popleft()
        self._begin()
        return SpeechChunk(np.zeros(0, np.int16), piece, last=True)

    def _begin(self) -> None:
        """Ask for the pieces whose turn comes next."""
        for piece in list(self._pieces)[:AHEAD]:
            if piece.task is None:
                piece.task = asyncio.get_running_loop().create_task(self._fetch(piece), name="speech")
                self._tasks.add(piece.task)
                piece.task.add_done_callback(partial(self._fetched, piece))
        self._news.set()

    def _fetched(self, piece: _Piece, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a mistake of ours: nobody may wait for it
            piece.sound.put_nowait(ProviderError("tts", "server", f"{error!r}. Please report this."))

    async def _fetch(self, piece: _Piece) -> None:
        try:
            async with aclosing(self._speech(piece.text)) as sound:
                held = b""
                async for data in sound:
                    held += data
                    if len(held) >= BEGINS_BYTES:
                        piece.sound.put_nowait(held)
                        held = b""
            if held:
                piece.sound.put_nowait(held)
            piece.sound.put_nowait(None)
        except ProviderError as error:
            piece.sound.put_nowait(error)


class AzureTts(OpenAiTts):
    """Key: AZURE_OPENAI_API_KEY. base_url, api_version, deployment: as for llm azure. The rest: see OpenAiTts."""

    name = "azure"
    VENDOR = vendors.AZURE
    MODEL = ""

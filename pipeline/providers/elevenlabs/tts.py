"""ElevenLabs as a voice: each piece a context of a warm WebSocket, at the call's own rate, with word times.

Does not resample, put figures into words or retry at length: that is the session's and pipeline/providers/resilient's
business. The one thing asked for twice is what a connection swallowed that had died unnoticed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from elevenlabs.environment import ElevenLabsEnvironment
from elevenlabs.types import GenerationConfig, PronunciationDictionaryLocator, RealtimeVoiceSettings
from elevenlabs.url_utils import build_ws_url

from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import SpeechChunk, Voice
from pipeline.providers.elevenlabs.pool import Pool
from pipeline.providers.elevenlabs.refusals import NAME
from pipeline.providers.elevenlabs.socket import Context, Socket
from pipeline.providers.elevenlabs.sound import Encoding, output_format, spoken_rate
from pipeline.providers.keys import api_key

AHEAD = 2  # pieces asked for at a time: the one that sounds, and the next
GEORGE = "JBFqnCBsd6RMkjVDRZzb"  # the voice of the vendor's own examples; every account has it
SPEEDS, SHARES, SCHEDULE, LONGEST_INACTIVITY_S = (0.7, 1.2), (0.0, 1.0), (50, 500), 180
SETTINGS = ("stability", "similarity_boost", "style", "use_speaker_boost")
MOST_DICTIONARIES = 3
SILENCE = np.zeros(0, np.int16)

Normalization = Literal["off", "auto", "on"]


class ElevenLabsTts:
    """A voice of ElevenLabs. The key is ELEVENLABS_API_KEY.

    voice: its id. model: one that the multi-context WebSocket takes, so not `eleven_v3`. rate_hz: given by the call.
    encoding: `pcm`, or `ulaw` at 8000 Hz for half the traffic. language_code: ISO 639-1; empty: the agent's language,
    for models that take one. stability, similarity_boost, style: 0.0 to 1.0; use_speaker_boost; unset: as the voice is
    stored. speed: 0.7 to 1.2, times the agent's. auto_mode: begin with whatever text is there; unset: yes, unless
    chunk_length_schedule (letters, 50 to 500 each) says how much text each part of a long piece waits for.
    pronunciation_dictionaries: up to three, each as `id:version`. seed: for the same sound again, as far as possible.
    apply_text_normalization: `off`, since figures are put into words before. inactivity_timeout: s of silence after
    which the server may end a context, up to 180; a third of it is the beat of the keep-alive. idle_s: an unused
    connection is closed after so long. max_connections: of one voice and rate; each carries four pieces at a time.
    enable_logging: False is zero retention, for enterprise accounts. base_url: another server.
    """

    name = NAME

    def __init__(
        self,
        voice: str = GEORGE,
        model: str = "eleven_flash_v2_5",
        rate_hz: int = 8000,
        encoding: Encoding = "pcm",
        language_code: str = "",
        stability: float | None = None,
        similarity_boost: float | None = None,
        style: float | None = None,
        use_speaker_boost: bool | None = None,
        speed: float = 1.0,
        auto_mode: bool | None = None,
        chunk_length_schedule: Sequence[int] = (),
        pronunciation_dictionaries: Sequence[str] = (),
        seed: int | None = None,
        apply_text_normalization: Normalization = "off",
        inactivity_timeout: int = 60,
        idle_s: float = 300.0,
        max_connections: int = 10,
        enable_logging: bool = True,
        base_url: str = "",
    ) -> None:
        self._key = api_key(NAME, "ELEVENLABS_API_KEY")
        if model.startswith("eleven_v3"):
            raise ConfigError(f"tts {NAME}: {model} has no such WebSocket. Choose eleven_flash_v2_5.")
        _within("inactivity_timeout", inactivity_timeout, (1, LONGEST_INACTIVITY_S))
        _within("max_connections", max_connections, (1, 1000))
        for letters in chunk_length_schedule:
            _within("chunk_length_schedule", letters, SCHEDULE)
        self.rate_hz = spoken_rate(rate_hz)
        self._encoding: Encoding = encoding
        self._voice, self._speed, self._language_code, self._model = (
            voice or GEORGE,
            speed,
            language_code,
            model,
        )
        self._stored: dict[str, Any] = {
            "stability": stability,
            "similarity_boost": similarity_boost,
            "style": style,
            "use_speaker_boost": use_speaker_boost,
        }
        self._query: dict[str, str] = {
            "model_id": model,
            "output_format": output_format(self.rate_hz, encoding),
            "inactivity_timeout": str(inactivity_timeout),
            "sync_alignment": "true",
            "auto_mode": _flag(not chunk_length_schedule if auto_mode is None else auto_mode),
            "apply_text_normalization": apply_text_normalization,
        }
        if seed is not None:
            _within("seed", seed, (0, 2**32 - 1))
            self._query["seed"] = str(seed)
        if not enable_logging:
            self._query["enable_logging"] = "false"
        self._opening = _opening(chunk_length_schedule, pronunciation_dictionaries)
        self._inactivity_s, self._idle_s, self._most = float(inactivity_timeout), idle_s, max_connections
        self._base_url = base_url or ElevenLabsEnvironment.PRODUCTION.value
        self._pools: dict[str, Pool] = {}
        self._settings(Voice())

    async def open(self, voice: Voice) -> ElevenLabsTtsStream:
        """One reply. Connects meanwhile, if it must. A name in `voice` wins over the configured one; its options are
        stability, similarity_boost, style and use_speaker_boost. Raises ConfigError."""
        settings = self._settings(voice)
        pool = self._pool(voice)
        pool.prepare()
        return ElevenLabsTtsStream(pool, settings, self.rate_hz, self._encoding)

    async def warm(self) -> None:
        """Connect ahead of the first call, to the voices in use or else to the configured one. Raises ProviderError."""
        pools = list(self._pools.values()) or [self._pool(Voice())]
        await asyncio.gather(*[pool.warm() for pool in pools])

    async def aclose(self) -> None:
        """End every connection."""
        pools, self._pools = self._pools, {}
        await asyncio.gather(*[pool.aclose() for pool in pools.values()])

    @property
    def connections(self) -> int:
        """Open at the moment."""
        return sum(pool.connections for pool in self._pools.values())

    def _pool(self, voice: Voice) -> Pool:
        query = dict(self._query)
        if code := self._language_code or (_language(voice) if _takes_language(self._model) else ""):
            query["language_code"] = code
        path = ["v1", "text-to-speech", voice.name or self._voice, "multi-stream-input"]
        url = build_ws_url(self._base_url, path, query)
        if url not in self._pools:
            self._pools[url] = Pool(
                url,
                {"xi-api-key": self._key},
                opening=self._opening,
                most=self._most,
                inactivity_s=self._inactivity_s,
                idle_s=self._idle_s,
            )
        return self._pools[url]

    def _settings(self, voice: Voice) -> RealtimeVoiceSettings | None:
        """How it sounds; None for as it is stored. Raises ConfigError."""
        if unknown := set(voice.options) - set(SETTINGS):
            raise ConfigError(
                f"tts {NAME}: voice has no option {min(unknown)!r}. Known: {', '.join(SETTINGS)}."
            )
        wanted = {**self._stored, **voice.options}
        for name in ("stability", "similarity_boost", "style"):
            if wanted[name] is not None:
                _within(name, wanted[name], SHARES)
        speed = round(voice.speed * self._speed, 3)
        _within("speed", speed, SPEEDS)
        if speed != 1.0:
            wanted["speed"] = speed
        wanted = {name: value for name, value in wanted.items() if value is not None}
        return RealtimeVoiceSettings(**wanted) if wanted else None


class ElevenLabsTtsStream:
    """One reply being spoken. Has no task: the connection's hears, and the reader asks for the next piece."""

    def __init__(
        self, pool: Pool, settings: RealtimeVoiceSettings | None, rate_hz: int, encoding: Encoding
    ) -> None:
        self._pool, self._settings, self._rate_hz, self._encoding = pool, settings, rate_hz, encoding
        self._loop = asyncio.get_running_loop()
        self._said = 0
        self._characters = 0  # that a server was asked to speak, since `used`
        self._texts: deque[tuple[int, str]] = deque()  # not asked for yet
        self._making: deque[tuple[Context, Socket | None]] = deque()  # in order
        self._finished = self._closed = self._again = False
        self._refused: ProviderError | None = None
        self._news: asyncio.Future[None] | None = None

    def say(self, text: str) -> None:
        """The next piece. Ignored once closed."""
        if not self._closed:
            self._texts.append((self._said, text))
            self._said += 1
            self._ask()

    def finish(self) -> None:
        self._finished = True
        self._wake()

    def used(self) -> dict[str, float]:
        """Characters that a server was given. What the caller interrupted before it was asked for costs nothing."""
        characters, self._characters = self._characters, 0
        return {NAME: characters}

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        while not self._closed:
            if (chunk := self._next()) is not None:
                return chunk
            if self._finished and not self._texts and not self._making:
                break
            self._news = self._loop.create_future()
            await self._news
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._drop()
        self._wake()

    # ------------------------------------------------------------ for the pool

    def served(self) -> None:
        self._ask()

    def refused(self, error: ProviderError) -> None:
        self._refused = error
        self._wake()

    # ------------------------------------------------------------ what is being made

    def _ask(self) -> None:
        """As many pieces as may be made at a time."""
        while self._texts and len(self._making) < AHEAD and not self._closed:
            number, text = self._texts[0]
            silent = not text.strip()
            socket = None if silent else self._pool.take()
            if socket is None and not silent:
                self._refused = None
                self._pool.wait(self)
                return
            context = Context(
                text, number, rate_hz=self._rate_hz, encoding=self._encoding, on_news=self._wake
            )
            self._texts.popleft()
            self._making.append((context, socket))
            if socket is None:
                context.end()
            else:
                socket.speak(context, self._settings)
                self._characters += len(text)

    def _next(self) -> SpeechChunk | None:
        """What can be delivered now. Raises ProviderError where the sound of a piece failed."""
        if self._making:
            context, _ = self._making[0]
            if context.chunks:
                return context.chunks.popleft()
            if context.done:
                self._making.popleft()
                self._ask()
                return SpeechChunk(SILENCE, context.number, context.last_words(), last=True)
            if context.error is not None and not self._ask_again(context):
                self._fail(context.error)
        elif self._refused is not None:
            self._fail(self._refused)
        return None

    def _ask_again(self, context: Context) -> bool:
        """Was it lost with a connection that had died before, unheard? Then ask over another one, once."""
        unheard = context.warm and not context.sounded
        if self._again or not unheard or context.error is None or context.error.cause != "connectivity":
            return False
        self._again = True
        for other, socket in reversed(self._making):
            if socket is not None and other.error is None:
                socket.drop(other)
            self._texts.appendleft((other.number, other.text))
        self._making.clear()
        self._ask()
        return True

    def _fail(self, error: ProviderError) -> None:
        self._drop()
        raise error

    def _drop(self) -> None:
        """Nothing more is wanted."""
        self._closed = True
        self._texts.clear()
        self._pool.forget(self)
        for context, socket in self._making:
            if socket is not None:
                socket.drop(context)
        self._making.clear()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _opening(schedule: Sequence[int], dictionaries: Sequence[str]) -> Mapping[str, Any]:
    """What the first message of each context says besides the voice. Raises ConfigError."""
    if len(dictionaries) > MOST_DICTIONARIES:
        fact = f"{len(dictionaries)} pronunciation dictionaries; {MOST_DICTIONARIES} are taken. Join some."
        raise ConfigError(f"tts {NAME}: {fact}")
    opening: dict[str, Any] = {}
    if schedule:
        opening["generation_config"] = GenerationConfig(chunk_length_schedule=[float(n) for n in schedule])
    if dictionaries:
        opening["pronunciation_dictionary_locators"] = [_locator(text) for text in dictionaries]
    return opening


def _locator(text: str) -> PronunciationDictionaryLocator:
    name, _, version = text.partition(":")
    if not name or not version:
        raise ConfigError(f"tts {NAME}: pronunciation dictionary {text!r}. Write it as id:version.")
    return PronunciationDictionaryLocator(pronunciation_dictionary_id=name, version_id=version)


def _takes_language(model: str) -> bool:
    """Only these enforce a language; others refuse one."""
    return model.endswith("_v2_5")


def _language(voice: Voice) -> str:
    return voice.language.partition("-")[0].lower()


def _flag(on: bool) -> str:
    return "true" if on else "false"


def _within(name: str, value: object, limits: tuple[float, float]) -> None:
    lowest, highest = limits
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ConfigError(f"tts {NAME}: {name} is {value!r}. Choose {lowest:g} to {highest:g}.")

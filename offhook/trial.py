"""One real request to a provider, and where its time went. For `offhook providers test`; no call is involved.

A recogniser is given a sentence in the embedded voice, at the pace of speech; a model is asked for one; a voice says
it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from pipeline.agent.history import Message
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import FRAME_MS, Final, Frame, Hints, Llm, Partial, Stt, TextDelta, Tts, Usage, Voice
from pipeline.providers import registry
from pipeline.providers.keys import hide
from pipeline.providers.registry import Kind
from pipeline.providers.resilient.member import blamed
from pipeline.speaking.resample import Resampler

SENTENCE = "what are your opening hours"
RATE_HZ = 8000
TIMEOUT_S = 20.0
TRIED: tuple[Kind, ...] = ("stt", "llm", "tts")


@dataclass(slots=True)
class Trial:
    """What came of it; times in ms, None where there is nothing to measure.

    connect_ms: opening the connection or the stream. first_ms: from the request, for a recogniser from the end of the
    sentence, to the first token, sound or word. total_ms: to the end. sound_ms: how long what was said sounds."""

    kind: Kind
    name: str
    connect_ms: float | None = None
    first_ms: float | None = None
    total_ms: float | None = None
    sound_ms: float | None = None
    text: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


async def attempt(kind: Kind, name: str, options: Mapping[str, Any]) -> Trial:
    """Ask it once. Raises ConfigError if it cannot be made, ProviderError with the cause if it does not answer."""
    if kind not in TRIED:
        raise ConfigError(f"{kind} {name}: there is nothing to ask. Try one of {', '.join(TRIED)}.")
    hide(registry.key_variables())
    provider = registry.create(kind, name, options)
    trial = Trial(kind, name)
    try:
        with blamed(name):
            async with asyncio.timeout(TIMEOUT_S):
                await _connect(provider, trial)
                await {"stt": _listen, "llm": _think, "tts": _speak}[kind](provider, trial)
    except ProviderError as error:
        raise ProviderError(error.provider, error.cause, _words(error)) from None
    finally:
        if (close := getattr(provider, "aclose", None)) is not None:
            await close()
    return trial


def _words(error: ProviderError) -> str:
    """The error without the name in front, which the new one gets itself."""
    return str(error).removeprefix(f"{error.provider}: ")


async def _connect(provider: object, trial: Trial) -> None:
    began = _now()
    if (warm := getattr(provider, "warm", None)) is not None:
        await warm()
        trial.connect_ms = _since(began)


async def _think(provider: object, trial: Trial) -> None:
    began = _now()
    question = Message("user", "Say in one short sentence that you are there.")
    async with aclosing(cast(Llm, provider).chat([question])) as answer:
        async for delta in answer:
            if trial.first_ms is None and not isinstance(delta, Usage):
                trial.first_ms = _since(began)
            if isinstance(delta, TextDelta):
                trial.text += delta.text
            elif isinstance(delta, Usage):
                trial.input_tokens, trial.output_tokens = delta.input_tokens, delta.output_tokens
    trial.total_ms = _since(began)


async def _speak(provider: object, trial: Trial) -> None:
    tts = cast(Tts, provider)
    began = _now()
    async with _opened(await tts.open(Voice())) as stream:
        stream.say(f"{SENTENCE.capitalize()}?")
        stream.finish()
        samples = 0
        async for chunk in stream:
            if trial.first_ms is None and len(chunk.pcm):
                trial.first_ms = _since(began)
            samples += len(chunk.pcm)
    if not samples:
        raise ProviderError(trial.name, "server", "the voice made no sound. See its status.")
    trial.total_ms, trial.sound_ms = _since(began), samples / tts.rate_hz * 1000


async def _listen(provider: object, trial: Trial) -> None:
    frames = await _sentence()
    began = _now()
    async with _opened(await cast(Stt, provider).open(rate_hz=RATE_HZ, hints=Hints((SENTENCE,)))) as stream:
        if trial.connect_ms is None:
            trial.connect_ms = _since(began)
        heard = asyncio.create_task(_hear(stream, trial), name="read the recogniser")
        try:
            stream.start_turn()
            began = _now()
            for number, frame in enumerate(frames):
                await asyncio.sleep(max(0.0, began + number * FRAME_MS / 1000 - _now()))
                stream.push(frame)
            stream.end_turn()
            ended = _now()
            await heard
        finally:
            heard.cancel()
    trial.sound_ms = float(len(frames) * FRAME_MS)
    trial.first_ms = trial.total_ms = _since(ended)


async def _hear(stream: AsyncIterator[object], trial: Trial) -> None:
    async for event in stream:
        if isinstance(event, Partial | Final):
            trial.text = event.text or trial.text
        if isinstance(event, Final) and event.ends_turn:
            return
    raise ProviderError(trial.name, "server", "the stream ended without an answer. See its status.")


async def _sentence() -> list[Frame]:
    tts = registry.create_tts("espeak")
    resampler = Resampler(tts.rate_hz, RATE_HZ)
    parts: list[Frame] = []
    async with _opened(await tts.open(Voice())) as stream:
        stream.say(SENTENCE)
        stream.finish()
        async for chunk in stream:
            parts.append(resampler.feed(chunk.pcm))
    pcm = np.concatenate([*parts, resampler.finish()])
    size = RATE_HZ * FRAME_MS // 1000
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


@asynccontextmanager
async def _opened(stream: Any) -> AsyncIterator[Any]:
    try:
        yield stream
    finally:
        await stream.aclose()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _since(began: float) -> float:
    return (_now() - began) * 1000

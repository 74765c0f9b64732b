"""What a caller hears from the switch when no worker may have the call any more: spoken and encoded ahead of time.

A worker does it once, when it starts, beside its work: with the embedded voice, which needs nobody else, for every
language of the plan. Not when it is played (switch/standing_in.py)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import structlog

from offhook.link import Message, Notice
from pipeline import canned
from pipeline.errors import PipelineError
from pipeline.ports import Frame, Voice
from pipeline.providers import registry
from pipeline.speaking.resample import Resampler
from telephony.media.codecs import FRAME_MS, open_codec

log = structlog.get_logger()

CODECS = ("PCMU", "PCMA", "G722")  # those whose packets are one stream of bytes


async def send_notices(languages: Iterable[str], send: Callable[[Message], None]) -> None:
    """One for each language and codec."""
    for language in sorted({language.lower().split("-")[0] for language in languages} | {"en"}):
        try:
            rate_hz, sound = await _spoken(language)
        except PipelineError as error:
            log.warning("no_notice", language=language, error=str(error))
            continue
        for codec in CODECS:
            payload = await asyncio.to_thread(_encoded, codec, rate_hz, sound)
            send(Notice(language=language, codec=codec, payload=base64.b64encode(payload).decode()))


async def _spoken(language: str) -> tuple[int, Frame]:
    """The embedded voice's rate and sound. Raises PipelineError if it does not speak that language."""
    tts = registry.create_tts("espeak", {})
    stream = await tts.open(Voice(language=language))
    stream.say(canned.lines(language).failed)
    stream.finish()
    pieces = [chunk.pcm async for chunk in stream]
    await stream.aclose()
    return tts.rate_hz, np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _encoded(name: str, rate_hz: int, sound: Frame) -> bytes:
    codec = open_codec(name)
    resampler = Resampler(rate_hz, codec.rate_hz)
    pcm = np.concatenate((resampler.feed(sound), resampler.finish()))
    size = codec.rate_hz * FRAME_MS // 1000
    frames: Sequence[Frame] = [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]
    return b"".join(codec.encode(frame) for frame in frames)

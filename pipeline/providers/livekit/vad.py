"""A LiveKit VAD plugin as pipeline.ports.Vad: its newest inference, which is always a little old.

Our contract asks on the clock and wants the answer at once; a plugin answers later, through its event stream, when it
has a window full (32 ms with Silero) and a thread has computed it. What is returned for a frame is therefore what is
known by then: one or two frames behind, more on a machine that is out of breath. Its own states are not used."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress

from livekit import rtc
from livekit.agents import vad

from pipeline.errors import ProviderError
from pipeline.ports import Frame
from pipeline.providers.livekit.faults import translated
from pipeline.providers.livekit.loading import Blueprint


def adapt(blueprint: Blueprint, rate_hz: int = 8000) -> LivekitVad:
    """The provider around a plugin."""
    return LivekitVad(blueprint, rate_hz)


class _Newest:
    """What the reading task leaves for the clock; outlives the detector, so that the task does not hold it."""

    def __init__(self) -> None:
        self.probability = 0.0
        self.failed: ProviderError | None = None


class LivekitVad:
    """One call's detector. The plugin's stream begins with the first frame and ends when this is forgotten.

    A plugin that fails reports no speech from then on; `failed` says why."""

    def __init__(self, blueprint: Blueprint, rate_hz: int = 8000) -> None:
        self.name, self.rate_hz = blueprint.name, rate_hz
        wish = blueprint.takes("sample_rate")
        self._plugin: vad.VAD = blueprint.build({wish: rate_hz} if wish else None)
        self._newest = _Newest()
        self._stream: vad.VADStream | None = None

    @property
    def failed(self) -> ProviderError | None:
        return self._newest.failed

    def probability(self, frame: Frame) -> float:
        if self._stream is None:
            self._stream = self._begin()
        if self._newest.failed is None:
            with suppress(RuntimeError):  # it has just ended: `failed` is about to say why
                self._stream.push_frame(rtc.AudioFrame(frame.tobytes(), self.rate_hz, 1, len(frame)))
        return self._newest.probability

    def reset(self) -> None:
        self._newest.probability = 0.0
        if self._stream is not None and self._newest.failed is None:
            with suppress(RuntimeError):  # as above
                self._stream.flush()

    def _begin(self) -> vad.VADStream:
        loop = asyncio.get_running_loop()
        stream = self._plugin.stream()
        reading = loop.create_task(_read(self.name, stream, self._newest), name=f"detect {self.name}")
        weakref.finalize(self, _end, loop, reading).atexit = False
        return stream


async def _read(name: str, stream: vad.VADStream, newest: _Newest) -> None:
    try:
        with translated(name):
            async for event in stream:
                if event.type == vad.VADEventType.INFERENCE_DONE:
                    newest.probability = event.probability
    except ProviderError as error:
        newest.failed, newest.probability = error, 0.0
    finally:
        await stream.aclose()


def _end(loop: asyncio.AbstractEventLoop, reading: asyncio.Task[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(reading.cancel)

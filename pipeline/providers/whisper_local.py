"""Whisper on this machine: faster-whisper over CTranslate2, one request a turn. Extra `whisper`.

`WhisperStt` works in this process (tests, replay); live calls go through the model host, which takes `WhisperEar`s from
it. A model is loaded and asked in one thread of its own: two transcriptions at once would only slow each other down.
Nothing is downloaded unless the configuration says so. Not speculative: the turn's end waits for the answer."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.hearing.preroll import Preroll
from pipeline.ports import Final, Frame, Hints, SttEvent
from pipeline.providers.whisper import judged, language_code, prompt_of

NAME = "whisper"
MODEL_HZ = 16_000
MAX_TURN_S = 30  # Whisper's window: of a longer turn, its end
MIN_TURN_S = 0.1  # less is a click


class WhisperStt:
    """model: a directory with a CTranslate2 model, or a name such as `small`, `large-v3-turbo` or `owner/repository`.
    download: fetch a name's files from the Hugging Face hub if they are not on this machine yet. device: cpu, cuda or
    auto. compute_type: int8, float16, …; default: the model's own. threads: of the processor; 0: up to 4. beam_size: 1
    is quickest. language: BCP 47; empty: the agent's."""

    name = NAME

    def __init__(
        self,
        model: str = "small",
        download: bool = False,
        device: str = "auto",
        compute_type: str = "default",
        threads: int = 0,
        beam_size: int = 1,
        language: str = "",
    ) -> None:
        if find_spec("faster_whisper") is None:
            raise ConfigError(
                "stt whisper: faster-whisper is not installed. Install the package offhook[whisper]."
            )
        if beam_size < 1 or threads < 0:
            raise ConfigError("stt whisper: beam_size begins at 1 and threads at 0. Change them.")
        self._model_name, self._download = _checked(model), download
        self._how: dict[str, Any] = {"device": device, "compute_type": compute_type}
        self._how["cpu_threads"] = threads or min(4, os.cpu_count() or 1)
        self._beam_size, self._language = beam_size, language
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=NAME)
        self._model: Any = None

    async def open(self, *, rate_hz: int, hints: Hints) -> WhisperStream:
        """Loads the model before it returns. Raises ConfigError if it cannot be had."""
        await asyncio.wrap_future(self._thread.submit(self._loaded))
        return WhisperStream(self.ear(rate_hz, hints))

    async def warm(self) -> None:
        """Load the model."""
        await asyncio.wrap_future(self._thread.submit(self._loaded))

    async def aclose(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def load(self) -> Future[None]:
        """Load the model in its thread. The future raises ConfigError if it cannot be had."""
        return self._thread.submit(lambda: None if self._loaded() else None)

    def ear(self, rate_hz: int, hints: Hints) -> WhisperEar:
        """One call's recogniser, plain and synchronous."""
        return WhisperEar(self, rate_hz, hints)

    def transcribe(self, pcm: bytes, rate_hz: int, hints: Hints) -> Future[Final]:
        """What was said in this sound, int16; computed in the model's thread."""
        return self._thread.submit(self._transcribed, pcm, rate_hz, hints)

    # ------------------------------------------------------------ in the model's thread

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = _load(self._model_name, self._download, self._how)
        return self._model

    def _transcribed(self, pcm: bytes, rate_hz: int, hints: Hints) -> Final:
        pcm = pcm[-MAX_TURN_S * rate_hz * 2 :]
        if len(pcm) < MIN_TURN_S * rate_hz * 2:
            return Final("", 0.0, ends_turn=True)
        model, prompt = self._loaded(), prompt_of(hints)
        try:
            segments, _ = model.transcribe(
                _at_model_rate(pcm, rate_hz),
                language=language_code(self._language or hints.language) or None,
                beam_size=self._beam_size,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
                initial_prompt=prompt or None,
            )
            said = [asdict(segment) for segment in segments]
        except (RuntimeError, ValueError) as error:  # what CTranslate2 and faster-whisper raise
            raise ProviderError(
                NAME, "server", f"transcribing failed: {error}. Open a new stream."
            ) from error
        text = " ".join(str(segment["text"]).strip() for segment in said)
        return replace(judged({"text": text, "segments": said}, prompt), ends_turn=True)


class WhisperEar:
    """One call's turns: sound in, requests to the model's thread, Finals out. Everything but `step` only takes note.

    wake: called from the model's thread when `step` has something to fetch."""

    def __init__(self, whisper: WhisperStt, rate_hz: int, hints: Hints) -> None:
        self._whisper, self._rate_hz, self._hints = whisper, rate_hz, hints
        self._sound = bytearray()
        self._wake: Callable[[], object] = lambda: None
        self._asked: deque[Future[Final] | Future[None]] = deque()
        self._await(whisper.load())

    @property
    def busy(self) -> bool:
        """Is there an answer to fetch?"""
        return bool(self._asked) and self._asked[0].done()

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def wake_with(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        if self.busy:  # it was quicker than this call
            wake()

    def push(self, pcm: bytes) -> None:
        self._sound += pcm

    def start(self) -> None:
        """A turn begins; its sound follows."""
        self._sound.clear()

    def end(self) -> None:
        asked = self._whisper.transcribe(bytes(self._sound), self._rate_hz, self._hints)
        self._sound.clear()
        self._await(asked)

    def expect(self, hints: Hints) -> None:
        self._hints = hints

    def step(self, slice_ms: int = 0) -> list[SttEvent]:
        """The answers that are there. Raises ProviderError if the model failed; then this is of no more use."""
        events: list[SttEvent] = []
        while self.busy:
            try:
                if (answer := self._asked.popleft().result()) is not None:
                    events.append(answer)
            except ConfigError as error:
                raise ProviderError(NAME, "bad_request", str(error)) from error
        return events

    def _await(self, asked: Future[Final] | Future[None]) -> None:
        self._asked.append(asked)
        asked.add_done_callback(lambda _: self._wake())

    def close(self) -> None:
        self._wake = lambda: None
        while self._asked:
            self._asked.popleft().cancel()


class WhisperStream:
    """pipeline.ports.SttStream over an ear of this process."""

    def __init__(self, ear: WhisperEar) -> None:
        self._ear, self._preroll, self._mailbox = ear, Preroll(), SttMailbox()
        loop = asyncio.get_running_loop()
        ear.wake_with(lambda: loop.is_closed() or loop.call_soon_threadsafe(self._fetch))

    def push(self, frame: Frame) -> None:
        if (pcm := self._preroll.push(frame)) is not None:
            self._ear.push(pcm)

    def start_turn(self) -> None:
        if (before := self._preroll.start()) is not None:
            self._ear.start()
            self._ear.push(before)

    def end_turn(self) -> None:
        self._preroll.end()
        if not self._mailbox.closed:
            self._ear.end()

    def expect(self, hints: Hints) -> None:
        self._ear.expect(hints)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        self._mailbox.close()
        self._ear.close()

    def _fetch(self) -> None:
        try:
            for event in self._ear.step():
                self._mailbox.put(event)
        except ProviderError as error:
            self._mailbox.fail(error)


def _checked(model: str) -> str:
    """The model's name, or its directory. Raises ConfigError for a path that holds no model."""
    if not (model.startswith((".", "~", "/")) or Path(model).is_dir()):
        return model
    folder = Path(model).expanduser()
    if not (folder / "model.bin").is_file():
        raise ConfigError(
            f"stt whisper: there is no model.bin in {folder}. Give the directory of a CTranslate2 model."
        )
    if not (folder / "tokenizer.json").is_file():  # faster-whisper would go and fetch one
        raise ConfigError(
            f"stt whisper: there is no tokenizer.json in {folder}. Put the model's own beside it."
        )
    return str(folder)


def _load(model: str, download: bool, how: dict[str, Any]) -> Any:
    from faster_whisper import WhisperModel  # type: ignore[import-untyped]
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return WhisperModel(model, local_files_only=not download, **how)
    except LocalEntryNotFoundError as error:
        remedy = "Is huggingface.co reachable?" if download else "Say `download: yes`, or give a directory."
        raise ConfigError(f"stt whisper: the model {model!r} is not on this machine. {remedy}") from error
    except (HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"stt whisper: {model!r} cannot be loaded: {error}. Choose another model."
        ) from error


def _at_model_rate(pcm: bytes, rate_hz: int) -> NDArray[np.float32]:
    sound = np.frombuffer(pcm, np.int16)
    if rate_hz != MODEL_HZ:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=MODEL_HZ)
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate_hz
        parts = [
            part.to_ndarray().reshape(-1) for part in (*resampler.resample(frame), *resampler.resample(None))
        ]
        sound = np.concatenate(parts)
    return sound.astype(np.float32) / np.float32(32768)

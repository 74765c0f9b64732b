"""Messages that a caller leaves: message-1.wav and so on in the call's folder, left channel.

One call's, driven by bridge.py. Not the recording of the call, and not what a message is taken for
(pipeline/waiting.py)."""

from __future__ import annotations

from pathlib import Path

from offhook.link import StartCall
from pipeline.ports import Frame
from telephony.media.recorder import Recorder


class Messages:
    """One call's."""

    def __init__(self, start: StartCall) -> None:
        self._folder, self._rate_hz = start.folder, start.rate_hz
        self._count = len(list(Path(start.folder).glob("message-*.wav"))) if start.resumes else 0
        self._open: Recorder | None = None

    @property
    def begun(self) -> bool:
        """The caller leaves one now."""
        return self._open is not None

    def begin(self) -> str:
        """Record the caller from now on. Returns the file's name, "" if there is no folder."""
        if not self._folder:
            return ""
        self._count += 1
        name = f"message-{self._count}.wav"
        self._open = Recorder(Path(self._folder) / name, self._rate_hz)
        return name

    def hear(self, frame: Frame) -> None:
        """The caller's next frame."""
        if self._open is not None:
            self._open.frame(frame, None)

    def end(self) -> float:
        """Close the file; its length in s."""
        message, self._open = self._open, None
        if message is None:
            return 0.0
        seconds = message.samples / self._rate_hz
        message.close()
        return seconds

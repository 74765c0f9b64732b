"""The messages that the caller of one call leaves, each in a file of its own beside the recording.

Driven by bridge.py: told when one begins and ends, and given every frame meanwhile."""

from __future__ import annotations

from pathlib import Path

from telephony.media.codecs import Frame
from telephony.media.recorder import Recorder


class Messages:
    """folder: the call's, "" for none. goes_on: another worker may have taken messages in it."""

    def __init__(self, folder: str, rate_hz: int, *, goes_on: bool) -> None:
        self._folder, self._rate_hz = folder, rate_hz
        self._taken = len(list(Path(folder).glob("message-*.wav"))) if goes_on else 0
        self._open: Recorder | None = None

    def begin(self) -> str:
        """Record into message-1.wav, left channel, from now on. Returns the name, "" if there is no folder."""
        if not self._folder:
            return ""
        self._taken += 1
        name = f"message-{self._taken}.wav"
        self._open = Recorder(Path(self._folder) / name, self._rate_hz)
        return name

    def hear(self, frame: Frame) -> None:
        """20 ms of the caller."""
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

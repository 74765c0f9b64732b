"""The soft sound of somebody at work, while the caller waits for what the agent has to say.

Not speech: it passes the queue of speech by, so no position, history or echo guard knows of it; and no words, which are
speeches.py's. Driven by session.py on the clock; the phone makes the sound."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.options import ThinkingSound
from pipeline.ports import FRAME_MS, Frame


class Thinking:
    """One call's. play: CallControl.think."""

    def __init__(self, play: Callable[[ThinkingSound | None], None]) -> None:
        self._play = play
        self._quiet_ms = 0  # the agent owes something, and nothing has left
        self._sounding = False

    def spoke(self, frame: Frame | None, sound: ThinkingSound, thinks: Callable[[], bool]) -> None:
        """What has just been taken for the phone. thinks: does the caller wait for the agent?"""
        if not (sound.on or self._sounding):
            return
        if frame is not None or not sound.on or not thinks():
            self.stop()
        elif not self._sounding:
            self._quiet_ms += FRAME_MS
            if self._quiet_ms >= sound.after_ms:
                self._sounding = True
                self._play(sound)

    def stop(self) -> None:
        """Somebody speaks, or the call is over."""
        self._quiet_ms = 0
        if self._sounding:
            self._sounding = False
            self._play(None)

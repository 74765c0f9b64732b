"""A message that the caller leaves after the beep: when it has begun, and when it is over.

Pure. Driven by waiting.py, frame by frame. The beep and the file are the phone's (ports.CallControl)."""

from __future__ import annotations

from dataclasses import dataclass

VOICED = 0.5  # probability of speech
TO_BEGIN_S = 5.0  # how long a caller may think before the first word
END_KEY = "#"


@dataclass(slots=True)
class LeavingMessage:
    """max_s: then it is cut off. silence_s: pause that ends it. Times are loop time, s."""

    max_s: float
    silence_s: float
    began: float
    spoke_until: float = 0.0  # 0.0: not a word yet

    @property
    def spoken(self) -> bool:
        return self.spoke_until > 0.0

    def over(self, voice: float, now: float) -> str:
        """The next 20 ms. voice: probability of speech. Returns why it is over: silence, max_length, or ""."""
        if voice >= VOICED:
            self.spoke_until = now
        if now - self.began >= self.max_s:
            return "max_length"
        since, patience_s = (self.spoke_until, self.silence_s) if self.spoken else (self.began, TO_BEGIN_S)
        return "silence" if now - since >= patience_s else ""

"""How long a caller waited for an answer, and for which part of making it. Pure. Filled by replying.py."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.events import AgentStartedSpeaking


@dataclass(frozen=True, slots=True)
class ResponseClock:
    """When the caller's turn ended. Loop times in s."""

    spoke_until: float
    decided: float  # the turn was declared over
    understood: float  # the recogniser's last word was there


@dataclass(slots=True)
class Stages:
    """When a reply's first sound came to be. Loop times in s, 0.0 for not yet."""

    first_piece: float = 0.0  # the model had said a first speakable piece
    tool_s: float = 0.0  # tools that ran before that
    first_sound: float = 0.0  # the voice had made a first sound of it

    def started(self, agent: str, clock: ResponseClock, now: float) -> AgentStartedSpeaking:
        """The event for the first packet, which leaves now. What was done ahead of time took no time."""
        understood = max(clock.understood, clock.decided)
        tooled = understood + self.tool_s
        piece = max(self.first_piece, tooled)
        sound = max(self.first_sound, piece)
        return AgentStartedSpeaking(
            now,
            agent,
            response_delay_ms=_ms(now - clock.spoke_until),
            waited_ms=_ms(clock.decided - clock.spoke_until),
            stt_ms=_ms(understood - clock.decided),
            llm_ms=_ms(piece - tooled),
            tool_ms=_ms(self.tool_s),
            tts_ms=_ms(sound - piece),
            own_ms=_ms(now - sound),
        )


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 1)

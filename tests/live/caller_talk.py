"""When a caller of the load generator speaks, and how long the agent takes to answer or to fall silent.

Pure: times come in, payloads go out. Driven by tests/bench/callers.py once per packet, so it is plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.live.sound import FRAME_S, SILENCE, ULAW_TO_LINEAR, frames_of

LOUD_SAMPLE = 300  # linear; comfort noise stays below
LOUD_SHARE = 8  # loud samples that make a 20 ms packet voiced
AGENT_PAUSE_S = 0.3  # silence that ends an utterance; shorter pauses are between words
RESPONSE_LIMIT_S = 6.0
GREETING_LIMIT_S = 4.0  # an agent that has said nothing by then waits for the caller
_LOUD = bytes(abs(size) > LOUD_SAMPLE for size in ULAW_TO_LINEAR)


def is_voiced(payload: bytes) -> bool:
    """Whether a PCMU payload is audible, by the number of samples above comfort-noise level."""
    return payload.translate(_LOUD).count(1) >= LOUD_SHARE


@dataclass(frozen=True, slots=True)
class Plan:
    """What the callers do.

    manner: polite waits until the agent has been silent for `pause_s`, then speaks; interrupting speaks
    once the agent has talked for `barge_after_s`; fixed speaks and pauses regardless of the agent."""

    target: str
    calls: int = 10
    rate: float = 10.0  # new calls a second
    hold_s: float = 10.0  # from answer to BYE
    clips: tuple[Path, ...] = ()
    manner: str = "polite"
    pause_s: float = 0.8
    barge_after_s: float = 0.7


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance of the caller, cut to its speech: first and last frame are voiced."""

    frames: list[bytes]

    @classmethod
    def load(cls, path: Path) -> Clip:
        """Read and encode a clip. Raises ValueError when nothing in it is audible."""
        frames = frames_of(path)
        voiced = [number for number, frame in enumerate(frames) if is_voiced(frame)]
        if not voiced:
            raise ValueError(f"{path}: no audible speech; give a clip somebody speaks in.")
        return cls(frames[voiced[0] : voiced[-1] + 1])


class Talker:
    """When one caller speaks, and how long the agent takes to answer or to fall silent. No I/O."""

    def __init__(self, plan: Plan, clips: Sequence[Clip]) -> None:
        self.plan, self.clips = plan, clips
        self.response_s: list[float] = []
        self.barge_in_s: list[float] = []
        self.silenced_at: list[float] = []  # wall time of the last audible packet before each silence
        self.unanswered = 0
        self.not_interrupted = 0
        self.utterances = 0
        self.first_voice_at = 0.0
        self._began_at = 0.0
        self._frames: list[bytes] = []
        self._position = 0
        self._spoke_until = 0.0  # last speech packet sent
        self._waits = False  # for an answer
        self._barged_at = 0.0
        self._voice_at = 0.0  # agent's last voiced packet
        self._voice_since = 0.0  # start of the agent's utterance

    def next_frame(self, now: float) -> bytes:
        """The payload of the packet that leaves now."""
        self._began_at = self._began_at or now
        if self._position < len(self._frames):
            frame = self._frames[self._position]
            self._position += 1
            if self._position == len(self._frames):
                self._spoke_until = now
                self._waits = now - self._voice_at > AGENT_PAUSE_S or self._barged_at > 0
            return frame
        self._settle(now)
        if self._may_speak(now):
            self._begin(now)
            return self.next_frame(now)
        return SILENCE

    def voice(self, at: float) -> None:
        """The agent was audible in a packet that arrived at `at`."""
        if at - self._voice_at > AGENT_PAUSE_S:
            self._settle(at)
            self._voice_since = at
            self.first_voice_at = self.first_voice_at or at
            if self._waits and self._position == len(self._frames) and at > self._spoke_until:
                self.response_s.append(at - self._spoke_until)
                self._waits = False
        self._voice_at = at

    def _begin(self, now: float) -> None:
        if self.plan.manner == "interrupting" and now - self._voice_at < AGENT_PAUSE_S:
            self._barged_at = now
        self._frames = self.clips[self.utterances % len(self.clips)].frames
        self._position = 0
        self.utterances += 1
        self._waits = False

    def _settle(self, now: float) -> None:
        """Close what is decided by now: the agent fell silent after a barge-in, or never answered."""
        if self._barged_at:
            if now - self._voice_at > AGENT_PAUSE_S:
                self.barge_in_s.append(max(self._voice_at - self._barged_at, 0.0))
                self.silenced_at.append(self._voice_at)
                self._barged_at = 0.0
            elif now - self._barged_at > RESPONSE_LIMIT_S:
                self.not_interrupted += 1
                self._barged_at = 0.0
        if self._waits and now - self._spoke_until > RESPONSE_LIMIT_S:
            self.unanswered += 1
            self._waits = False

    def _may_speak(self, now: float) -> bool:
        plan = self.plan
        if not self.clips or self._waits or self._barged_at or now - self._spoke_until < plan.pause_s:
            return False
        if plan.manner == "fixed":
            return True
        silent_s = now - self._voice_at
        if plan.manner == "interrupting":
            return silent_s < 2 * FRAME_S and now - self._voice_since > plan.barge_after_s
        greeted = self.first_voice_at > 0 or now - self._began_at > GREETING_LIMIT_S
        return greeted and silent_s > plan.pause_s

"""How a conversation behaves: when a turn ends, what interrupts, how long silence may last.

Pure; the same in every environment. An agent's values win over the session's, those over the defaults. Read by turn.py,
hearing/endpointing.py, silence.py and session.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Profile = Literal["fast", "balanced", "patient"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]

EVEN = 0.5  # the threshold of a language that has none of its own

PROFILES: dict[str, dict[str, int]] = {
    "fast": {
        "min_delay_ms": 250,
        "max_delay_ms": 1000,
        "interrupt_after_ms": 400,
        "incomplete_delay_ms": 1500,
    },
    "balanced": {},
    "patient": {
        "min_delay_ms": 800,
        "max_delay_ms": 2500,
        "interrupt_after_ms": 1000,
        "incomplete_delay_ms": 4000,
    },
}


class TurnHandling(BaseModel):
    """When a turn ends and what counts as an interruption. Times in ms unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = "balanced"
    """Values to begin with; each of those below may still be given."""
    endpointing: Literal["fixed", "dynamic"] = "fixed"
    """dynamic: the delays grow and shrink with the pauses that this caller makes inside turns."""
    min_delay_ms: int = Field(default=400, ge=50, le=5000)
    """Silence that ends a turn when what was said could stand as a whole."""
    max_delay_ms: int = Field(default=1500, ge=100, le=10_000)
    """Silence that ends a turn when more must come: the recogniser, the words or a model say so."""
    expected_delay_ms: int = Field(default=200, ge=50, le=5000)
    """Silence that ends a turn when the answer that was asked for is complete: all digits, a yes or no, a date."""
    incomplete_delay_ms: int = Field(default=2500, ge=100, le=15_000)
    """Silence that ends a turn when the answer that was asked for has begun and is not complete."""
    model_threshold: Probability | dict[str, Probability] = 0.5
    """Probability from which a model is believed that a turn is over; also by language: {en: 0.4, de: 0.6}."""
    preemptive: bool = True
    """Have an answer made while the end of the turn is only likely. It is thrown away if more words come."""
    preemptive_tts: bool = True
    """Have that answer's sound made too, not only its words."""
    preemptive_tries: int = Field(default=3, ge=1, le=10)
    """Answers made ahead for one turn, at most."""
    interrupt_after_ms: int = Field(default=800, ge=40, le=5000)
    """Speech over the agent that stops it, as long as no words tell whether it is an interruption."""
    interrupt_words: int = Field(default=1, ge=1, le=10)
    """Words over the agent that stop it at once, unless they are only listening noises (yes, mm-hmm)."""
    interrupt_surely_ms: int = Field(default=1200, ge=100, le=10_000)
    """Speech over the agent that stops it although it began with listening noises. So much speech, when no words come
    of it or none that are understood, is asked for again; less is forgotten."""
    resume_after_ms: int = Field(default=1000, ge=100, le=10_000)
    """Silence after which an agent that stopped for nothing goes on from the word at which it stopped."""
    allow_interruptions: bool = True
    """off: the agent finishes whatever it says. `say(..., allow_interruptions=False)` does it for one speech."""
    uninterruptible_words: Literal["keep", "drop"] = "keep"
    """What callers say meanwhile: answered afterwards, or forgotten."""
    echo_guard: bool = True
    """Take what comes back of the agent's own voice for echo, not for the caller."""
    transcript_timeout_ms: int = Field(default=2000, ge=200, le=20_000)
    """How long the recogniser may owe its last word after a turn ended."""
    max_turn_s: float = Field(default=60.0, ge=5.0, le=600.0)
    """A turn that goes on for so long (hold music, a television) is ended: the agent acts."""
    keys_timeout_ms: int = Field(default=2500, ge=500, le=30_000)
    """Pause after which keys pressed so far count as a turn; `#` ends it at once."""
    filler_after_ms: int = Field(default=2500, ge=0, le=20_000)
    """Silence while an answer is being made, after which the agent says a filler; 0 for none."""

    @model_validator(mode="before")
    @classmethod
    def _begin_with_the_profile(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**PROFILES.get(str(given.get("profile")), {}), **given}

    def threshold_for(self, language: str) -> float:
        """The model's threshold for a language. language: the first part of its tag, "en"."""
        given = self.model_threshold
        return given.get(language, EVEN) if isinstance(given, dict) else given


class ThinkingSound(BaseModel):
    """What the caller hears while the agent thinks and nobody speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sound: str = "off"
    """typing, tick, off, or a 16-bit PCM WAV file: beside the plan, or where the server was started."""
    after_ms: int = Field(default=800, ge=0, le=10_000)
    """Silence of the agent after which it begins."""
    level_db: float = Field(default=-30.0, ge=-60.0, le=-6.0)
    """Its loudest moment, in dB of full scale."""
    fade_ms: int = Field(default=200, ge=0, le=5000)
    """How long it takes to come up. It is gone within 20 ms."""

    @model_validator(mode="before")
    @classmethod
    def _by_its_name(cls, given: Any) -> Any:
        return {"sound": given} if isinstance(given, str) else given

    @property
    def on(self) -> bool:
        """Is there anything to hear?"""
        return self.sound not in ("", "off")


class Silence(BaseModel):
    """What happens when the caller says nothing. Times in s."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_s: float = Field(default=10.0, ge=0.0, le=600.0)
    """Silence of the caller after which the agent asks again; 0: it waits for ever."""
    times: int = Field(default=2, ge=0, le=10)
    """How often it asks before it says goodbye and hangs up."""
    ask: str | None = None
    """What it asks; not given: a line in the agent's language; empty: the model finds the words."""
    goodbye: str | None = None
    """Said before hanging up; not given: a line in the agent's language."""

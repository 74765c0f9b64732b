"""The vocabulary: what happened in a conversation, as frozen facts in the past tense.

Plain values only, so that an event comes back equal from a call's journal. Pure. Every `at` is loop time in s.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Anything that happened."""

    at: float  # loop time, s


@dataclass(frozen=True, slots=True)
class AgentEntered(Event):
    """An agent took the conversation; the first one at the start of the call."""

    agent: str
    came_from: str = ""  # the agent that handed over


@dataclass(frozen=True, slots=True)
class AgentStateChanged(Event):
    """initializing, listening, thinking, speaking or closed."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class CallerStartedSpeaking(Event):
    """Voice activity began at `since`; the decision came at `at`."""

    since: float


@dataclass(frozen=True, slots=True)
class CallerStoppedSpeaking(Event):
    """Voice activity ended at `until`. Not yet the end of a turn."""

    until: float


@dataclass(frozen=True, slots=True)
class CallerPartlyHeard(Event):
    """The recogniser's guess so far."""

    text: str


@dataclass(frozen=True, slots=True)
class KeyPressed(Event):
    """One DTMF digit arrived."""

    digit: str


@dataclass(frozen=True, slots=True)
class ToneHeard(Event):
    """A signal of a network or a machine on the caller's line: busy, reorder, sit (a recorded announcement follows),
    beep (an answering machine records), fax_cng (a fax calls) or fax_ced (a fax answers)."""

    kind: str


@dataclass(frozen=True, slots=True)
class UserTurnCommitted(Event):
    """The caller said something and is owed an answer.

    spoke_until: their last speech. waited_ms: from there to the decision that the turn is over.
    stt_ms: from the decision to the recogniser's last word. by: "voice", "keys" or "text".
    """

    text: str
    understood: bool
    confidence: float
    spoke_until: float
    waited_ms: float
    stt_ms: float
    by: str = "voice"


@dataclass(frozen=True, slots=True)
class NothingHeard(Event):
    """There was sound on the line, but no words came of it; no answer is owed."""

    reason: str


@dataclass(frozen=True, slots=True)
class AgentStartedSpeaking(Event):
    """The first packet of a reply left for the phone.

    response_delay_ms: from the caller's last speech, None if nobody was waiting for an answer. It is the sum of
    waited_ms (end of turn), stt_ms, llm_ms (to the first sentence), tool_ms, tts_ms (to the first sound) and
    own_ms, which is ours alone.
    """

    agent: str
    response_delay_ms: float | None = None
    waited_ms: float = 0.0
    stt_ms: float = 0.0
    llm_ms: float = 0.0
    tool_ms: float = 0.0
    tts_ms: float = 0.0
    own_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentSpoke(Event):
    """A reply is over. text: what the caller heard of it. planned: all of it, where they differ."""

    agent: str
    text: str
    heard_ms: int
    interrupted: bool = False
    planned: str = ""


@dataclass(frozen=True, slots=True)
class AgentDucked(Event):
    """Somebody talks over the agent, which lowers its voice until it is clear whether that is an interruption."""


@dataclass(frozen=True, slots=True)
class AgentUnducked(Event):
    """It was no interruption: the agent is back at full voice."""


@dataclass(frozen=True, slots=True)
class AgentPaused(Event):
    """Somebody talked over the agent for so long that it stopped, until words or silence tell what it was."""


@dataclass(frozen=True, slots=True)
class AgentResumed(Event):
    """It was nothing: the agent goes on from the word at which it stopped."""


@dataclass(frozen=True, slots=True)
class FillerSaid(Event):
    """The answer took its time, and the agent said that it would."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerDiscarded(Event):
    """An answer was made ahead of the turn's end, and then more words came. tokens: what it cost."""

    tokens: int


@dataclass(frozen=True, slots=True)
class ModelUsed(Event):
    """What one request to the language model took, in its provider's tokens; also one whose answer was not heard.
    input_audio_tokens, output_audio_tokens: of those, what was sound."""

    provider: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RecogniserUsed(Event):
    """How much sound a recogniser was given since the turn before, in s. What a stand-in was told again counts too."""

    provider: str
    seconds: float


@dataclass(frozen=True, slots=True)
class VoiceUsed(Event):
    """How much text a voice was given for one reply, in characters, whether it was heard or not."""

    provider: str
    characters: int


@dataclass(frozen=True, slots=True)
class CallerSilent(Event):
    """The caller said nothing for so long that the agent asked again (asked: how often by now), or gave up."""

    asked: int
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class TurnTooLong(Event):
    """The caller's line made speech-like sound for so long that the turn was ended. seconds: for how long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HandoffFailed(Event):
    """An agent could not take over; the one before it goes on."""

    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallerInterrupted(Event):
    """The caller kept speaking over the agent and took the floor.

    spoke_since: the first speech of the interruption. heard_ms: how much of the reply had left for the phone.
    """

    spoke_since: float
    heard_ms: int


@dataclass(frozen=True, slots=True)
class ToolCalled(Event):
    """The model asked for a tool and it was started. arguments: JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolProgressed(Event):
    """A tool that still runs told how far it is; the model is told `message` and may talk about it."""

    id: str
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolsetFailed(Event):
    """A toolset could not be set up or closed; its tools are missing, the call goes on."""

    toolset: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolFinished(Event):
    """A tool returned or failed; `result` is what the model is told."""

    id: str
    name: str
    result: str
    ok: bool
    took_ms: float


@dataclass(frozen=True, slots=True)
class ProviderFailed(Event):
    """A recogniser, model or voice failed. cause: auth, quota, rate_limit, timeout, connectivity, ..."""

    provider: str
    kind: str
    cause: str
    message: str


@dataclass(frozen=True, slots=True)
class CassetteMissed(Event):
    """In a replay, an answer was not on tape. changed: what is different from the request on tape that is most like it,
    names with commas between, "" if there is none. live: the provider was asked instead; otherwise it is missing."""

    kind: str  # stt, llm or tts
    provider: str
    changed: str
    live: bool


@dataclass(frozen=True, slots=True)
class ProviderChosen(Event):
    """A policy, and not a failure, decided who serves: the arm of a split, the fastest, the cheapest."""

    kind: str  # stt, llm or tts
    provider: str
    policy: str


@dataclass(frozen=True, slots=True)
class ProviderSwitched(Event):
    """Another recogniser, model or voice took over, because the one before it failed or rests. cause: why."""

    kind: str  # stt, llm or tts
    old: str
    new: str
    cause: str


@dataclass(frozen=True, slots=True)
class ProviderRecovered(Event):
    """A recogniser, model or voice that had been replaced serves this call again."""

    kind: str
    provider: str


@dataclass(frozen=True, slots=True)
class TransferStarted(Event):
    """The agent sends the caller elsewhere. attended: it speaks to them first."""

    target: str
    attended: bool = False


@dataclass(frozen=True, slots=True)
class TransferFinished(Event):
    """code: the SIP status that decided it, 0 if none came."""

    target: str
    ok: bool
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class MessageTaken(Event):
    """The caller left a message in a file of the call's folder. spoken: was anything said? ended_by: silence,
    max_length, key or hang_up."""

    file: str
    seconds: float
    spoken: bool
    ended_by: str


@dataclass(frozen=True, slots=True)
class CallHeld(Event):
    """One side asked the other to wait; nobody listens until CallResumed. by: "agent" or "caller"."""

    by: str


@dataclass(frozen=True, slots=True)
class CallResumed(Event):
    """The same side is back. by: "agent" or "caller"."""

    by: str


@dataclass(frozen=True, slots=True)
class DigitsSent(Event):
    """The agent pressed keys."""

    pii_digits: str


@dataclass(frozen=True, slots=True)
class RecordingStarted(Event):
    """The announcement was heard; from here on the call is recorded."""


@dataclass(frozen=True, slots=True)
class RecordingPaused(Event):
    """What follows is silence in the recording."""


@dataclass(frozen=True, slots=True)
class RecordingResumed(Event):
    """The recording goes on."""


@dataclass(frozen=True, slots=True)
class ConversationResumed(Event):
    """The process that held the conversation is gone; another one goes on with it. gap_ms: how long nobody did.
    again: what had not been heard and is said again."""

    agent: str
    gap_ms: int
    again: str = ""


@dataclass(frozen=True, slots=True)
class SessionClosed(Event):
    """The conversation is over. reason: agent_hung_up, caller_hung_up, transferred, error, ..."""

    reason: str


EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__subclasses__()}


def dump(event: Event) -> dict[str, Any]:
    """One journal line's worth: the event's fields and its `type`."""
    return {"type": type(event).__name__, **asdict(event)}


def load(row: dict[str, Any]) -> Event | None:
    """The event that `dump` wrote, None if this version does not know its type. Unknown fields are ignored."""
    kind = EVENTS.get(str(row.get("type")))
    if kind is None:
        return None
    return kind(**{field.name: row[field.name] for field in fields(kind) if field.name in row})

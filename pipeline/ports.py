"""The architecture on one screen: everything a conversation needs from outside, as Protocols.

Sound comes in through `Session.hear` and leaves through `AudioOut`; `CallControl` is what an agent may do to
the phone call; `Vad`, `Stt`, `Llm` and `Tts` are what a provider implements. Pure: no socket, clock or task.
`telephony` never imports this page; `offhook/worker/bridge.py` introduces the two.

A frame is 20 ms of `int16` mono PCM at the call's rate: shape (160,) at 8000 Hz, (320,) at 16000 Hz.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.agent.history import Message
from pipeline.events import Event
from pipeline.options import ThinkingSound

Frame: TypeAlias = NDArray[np.int16]
FRAME_MS = 20


# ---------------------------------------------------------------- the phone, as a conversation sees it


class AudioOut(Protocol):
    """The mouth: a queue of speech that the media clock empties, 20 ms at a time.

    Positions count samples of *speech* that left for the phone since the call began; silence between two
    replies does not count. That is how history knows what was heard, to the packet.
    """

    @property
    def rate_hz(self) -> int: ...
    @property
    def played(self) -> int:
        """Samples of speech that have left for the phone since the call began."""

    @property
    def queued(self) -> int:
        """Samples of speech that are waiting."""

    def play(self, pcm: Frame) -> int:
        """Queue speech of any length; returns the position at which it begins."""

    def pull(self) -> Frame | None:
        """The next 20 ms for the phone, or None while there is nothing to say. Called by the clock only."""

    def flush(self) -> int:
        """Drop what waits behind a 20 ms fade; returns the position where speech ends, fade included."""

    def duck(self, on: bool) -> None:
        """Lower speech by 12 dB while somebody talks over it, or bring it back."""

    def pause(self) -> int:
        """Fall silent within 20 ms and keep what waits; returns the position where speech stops."""

    def resume(self, position: int) -> None:
        """Go on from `position`, a little way back: what was said since is said again, and counts once."""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What came of a transfer. code: the SIP status that decided it (RFC 3515 §2.4.5), 0 if none came."""

    ok: bool
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """Somebody a caller may be transferred to. target: a SIP or tel URI, or a number on the caller's trunk.

    attended: the agent speaks to them first, and joins the two calls if they agree. ring_s: how long they may ring.
    release: then the far sides are asked to connect the calls without us. fallback: a blind transfer that is refused
    is bridged (`bridge`), or nothing but that is tried (`instead`); an attended one that nobody answered is tried
    blind (`blind`)."""

    target: str
    attended: bool = False
    ring_s: float = 25.0
    release: bool = False
    fallback: str = "none"


class CallControl(Protocol):
    """What an agent may do to the call it is on."""

    def hang_up(self, reason: str) -> None:
        """End the call now. Speech that must be heard first is the session's business."""

    async def transfer(self, target: str) -> TransferResult:
        """Blind transfer (REFER). target: a SIP or tel URI, or a number on the caller's trunk."""

    async def consult(self, target: str, ring_s: float) -> Consultation | TransferResult:
        """Call somebody about this call, who is still on hold. Returns when they answer, or why they do not."""

    def send_digits(self, digits: str) -> None:
        """Send DTMF to the phone. digits: 0-9 A-D * #; `w` waits 0.5 s, `W` 1 s, a comma 2 s. Raises for others."""

    def start_message(self) -> str:
        """Beep, and record the caller into a file of its own from now on. Returns its name, "" if there is none."""

    def end_message(self) -> float:
        """Close that file. Returns how long it is, in s."""

    async def hold(self) -> bool:
        """Ask the phone to wait; music plays from now on. False: the phone would not agree, the music plays still."""

    async def resume(self) -> bool:
        """Back from hold. False: the phone would not agree, so the caller cannot be heard yet; try again."""

    def think(self, sound: ThinkingSound | None) -> None:
        """Play this softly while neither speech nor music is heard; None: no more. Called on the clock."""

    def pause_recording(self) -> bool:
        """Record silence from here. False: nothing is recorded."""

    def resume_recording(self) -> bool:
        """Record again. False: nothing is recorded."""


class Talk(Protocol):
    """A conversation as its phone line drives it; pipeline.session.Session is it."""

    def hear(self, frame: Frame, now: float) -> None: ...
    def speak(self, now: float) -> Frame | None: ...
    def key(self, digit: str, now: float) -> None: ...


class Consultation(CallControl, Protocol):
    """A second phone call, answered, to somebody who may take the caller over. Its CallControl is that of the
    conversation with them."""

    @property
    def out(self) -> AudioOut:
        """The mouth towards them."""

    @property
    def vad(self) -> Vad:
        """For their voice."""

    @property
    def emit(self) -> Callable[[Event], None]:
        """Journal of that conversation."""

    def carry(self, talk: Talk) -> None:
        """Let this conversation have the line."""

    async def ended(self) -> TransferResult:
        """Wait until it is over, or a machine has answered: never `ok`."""

    async def connect(self, release: bool) -> TransferResult:
        """Take the caller from hold and let the two hear each other, from now on to the end of either call. release:
        have it done without us, if the far sides will. Not `ok`: the caller is still on hold."""


# ---------------------------------------------------------------- providers


@runtime_checkable
class Metered(Protocol):
    """A stream of a recogniser or a voice that several providers serve, or that knows better what is paid for."""

    def used(self) -> Mapping[str, float]:
        """By provider, since it was last asked: seconds of sound it was given, or characters of text."""


class Vad(Protocol):
    """Is there speech in this frame? One instance a call; it may keep state between frames."""

    @property
    def rate_hz(self) -> int: ...
    def probability(self, frame: Frame) -> float:
        """0.0 to 1.0 for the newest audio. Called on the clock: well under 0.2 ms, no allocation to speak of."""

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Hints:
    """What the recogniser should be ready to hear.

    phrases: things this agent understands. `{digits}`, `{digits:4}`, `{yes_no}` and `{date}` are slots; a cloud
    recogniser takes the words as key terms, the embedded one compiles them into its grammar.
    language: BCP 47 tag.
    """

    phrases: tuple[str, ...] = ()
    language: str = "en-US"


@dataclass(frozen=True, slots=True)
class Partial:
    """What the caller seems to be saying so far. complete: could this stand as a whole turn? None: unknown."""

    text: str
    complete: bool | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """What the caller said. Text that was heard but not understood carries `understood=False`.

    confidence: 0.0 to 1.0. ends_turn: answers an `end_turn()`, one for one.
    """

    text: str
    confidence: float = 1.0
    understood: bool = True
    ends_turn: bool = False


SttEvent: TypeAlias = Partial | Final


class SttStream(Protocol):
    """One call's recogniser. Iterating raises ProviderError when it fails; aclose() ends the iteration."""

    def push(self, frame: Frame) -> None:
        """The next 20 ms of the caller, silence included. Called on the clock: must not block or await."""

    def start_turn(self) -> None:
        """The caller began to speak about 300 ms ago. A recogniser that always listens ignores this."""

    def end_turn(self) -> None:
        """The caller seems done: owe exactly one Final(ends_turn=True), empty text if nothing was heard."""

    def expect(self, hints: Hints) -> None:
        """From the next turn on, be ready for this (another agent took over, a question was asked)."""

    def __aiter__(self) -> AsyncIterator[SttEvent]: ...
    async def aclose(self) -> None: ...


class Stt(Protocol):
    """Speech to text."""

    name: str

    async def open(self, *, rate_hz: int, hints: Hints) -> SttStream: ...


class TurnModel(Protocol):
    """A second opinion on whether a turn is over. One instance serves all calls."""

    name: str

    async def probability(self, sound: Frame, rate_hz: int, words: str, language: str) -> float | None:
        """0.0 to 1.0 that the caller is done; None if it cannot tell in time. sound: the newest 8 s at most. words: so
        far. language: BCP 47 tag. Raises nothing."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it. parameters: JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply's text, as it streams."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool. arguments: JSON text of an object, complete."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost, in the provider's own units; told once a request. provider: whose, if it is not the Llm that
    was asked."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    provider: str = ""
    input_audio_tokens: int = 0  # of those, what was sound
    output_audio_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Expecting:
    """The reply asks the caller for this: a line as Expectation.parse takes it, such as "digits 4"."""

    line: str


class OwnSound(Protocol):
    """The sound of something that a model says itself."""

    def __aiter__(self) -> AsyncIterator[Frame]: ...
    def heard(self, samples: int) -> None:
        """It was cut off: so much of it had left for the phone. The model is told."""


@dataclass(frozen=True, slots=True)
class SpokenDelta:
    """A piece of what the model says aloud itself, in the words of its own transcript. sound: one for the whole
    answer; the voice (OwnVoice) plays it."""

    text: str
    sound: OwnSound


LlmDelta: TypeAlias = TextDelta | SpokenDelta | ToolCall | Usage | Expecting


class Llm(Protocol):
    """A language model that streams. Closing the generator ends the request; failing raises ProviderError."""

    name: str

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        tool_choice: Literal["auto", "none", "required"] = "auto",
    ) -> AsyncGenerator[LlmDelta, None]: ...


@dataclass(frozen=True, slots=True)
class Voice:
    """How the agent sounds. name: the provider's own id, empty for its default. speed: 1.0 is normal."""

    name: str = ""
    language: str = "en-US"
    speed: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WordTiming:
    """When a word sounds, in seconds from the first sample of its piece."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """Synthesised speech. piece: which `say()` it belongs to, counted from 0; chunks come in order.

    pcm: int16 mono at the Tts's rate_hz, any length. words: those beginning in this chunk, if known.
    last: no more chunks of this piece follow.
    """

    pcm: Frame
    piece: int
    words: tuple[WordTiming, ...] = ()
    last: bool = False


class TtsStream(Protocol):
    """One reply being spoken. Iteration ends after the last chunk of the last piece once finish() was called."""

    def say(self, text: str) -> None:
        """The next speakable piece: a sentence or a clause. Never blocks."""

    def finish(self) -> None:
        """No more text will come."""

    def __aiter__(self) -> AsyncIterator[SpeechChunk]: ...
    async def aclose(self) -> None:
        """Stop at once (barge-in). Safe to call twice, and while iterating."""


class Tts(Protocol):
    """Text to speech."""

    name: str
    rate_hz: int

    async def open(self, voice: Voice) -> TtsStream: ...


# ---------------------------------------------------------------- one model that hears, thinks and speaks


@runtime_checkable
class OwnVoice(Protocol):
    """A TtsStream through which a model also speaks itself."""

    def join(self, sound: OwnSound) -> None:
        """The next piece is this sound, instead of a `say`."""

    def heard(self, ms: int) -> None:
        """The reply was cut off: so much of all its pieces had left for the phone."""


Known: TypeAlias = Callable[[], tuple[list[Message], list[ToolSpec]]]


@runtime_checkable
class SpeakingLlm(Protocol):
    """An Llm that hears the caller itself and can say its answers itself. `chat` alone answers in writing."""

    @property
    def aloud(self) -> Llm:
        """The same: its answers are SpokenDeltas."""

    def follow(self, known: Known, emit: Callable[[Event], None]) -> None:
        """Its agent talks from now on. known: what the agent is told and may use, at any moment."""

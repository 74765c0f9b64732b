"""ElevenLabs Scribe as a recogniser: sound goes up as it comes, and the end of a turn is a commit.

Through the SDK's realtime connection, one a call. Which words end a turn is the session's decision, so the server's own
voice detection is off (commit strategy manual). It listens on between turns: what is said there belongs to the next."""

from __future__ import annotations

import asyncio
import base64
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from elevenlabs.environment import ElevenLabsEnvironment
from elevenlabs.realtime import (
    AudioFormat,
    CommitStrategy,
    RealtimeAudioOptions,
    RealtimeEvents,
    ScribeRealtime,
)
from elevenlabs.realtime.connection import RealtimeConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from pipeline.errors import ConfigError, ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.ports import Final, Frame, Hints, Partial, SttEvent
from pipeline.providers.blame import failed
from pipeline.providers.elevenlabs.refusals import NAME, closed, not_opened, said
from pipeline.providers.keys import api_key

CONNECT_S = 3.0  # to the session's beginning
GOODBYE_S = 0.03  # how long a close may take before the connection is cut
CHUNK_S = 0.1  # of sound in a message
LEAST_COMMIT_S = 0.32  # a commit of less than 0.3 s is refused; silence makes up for it
SETTLE_S = 2.0  # the longest wait for a turn's answer before another language is listened for
MOST_KEYTERMS, LONGEST_KEYTERM = 50, 20
ONLY_THIS_TURN = ("commit_throttled", "insufficient_audio_activity")  # nothing to hear, and nothing is broken

Connect = Callable[[Hints], Awaitable[RealtimeConnection]]


class ElevenLabsStt:
    """Scribe, realtime. The key is ELEVENLABS_API_KEY.

    model: its name. language_code: ISO 639-1; empty: the agent's language. keyterms: words to be ready for, besides
    those of the agent (use_phrases); fifty of 20 letters at most are sent. timestamps: have word times sent too, which
    gives every turn a confidence and takes a little longer. no_verbatim: leave out filler words. enable_logging: False
    is zero retention, for enterprise accounts. base_url: another server.
    """

    name = NAME

    def __init__(
        self,
        model: str = "scribe_v2_realtime",
        language_code: str = "",
        keyterms: Sequence[str] = (),
        use_phrases: bool = True,
        timestamps: bool = False,
        no_verbatim: bool = False,
        enable_logging: bool = True,
        base_url: str = "",
    ) -> None:
        server = base_url or ElevenLabsEnvironment.PRODUCTION.value
        self._scribe = ScribeRealtime(api_key=api_key(NAME, "ELEVENLABS_API_KEY"), base_url=server)
        self._language_code, self._keyterms, self._use_phrases = language_code, tuple(keyterms), use_phrases
        self._timestamps = timestamps
        self._options: dict[str, Any] = {
            "model_id": model,
            "commit_strategy": CommitStrategy.MANUAL,
            "include_timestamps": timestamps,
        }
        if no_verbatim:
            self._options["no_verbatim"] = True
        if not enable_logging:
            self._options["enable_logging"] = False

    async def open(self, *, rate_hz: int, hints: Hints) -> ElevenLabsSttStream:
        """Connect for one call. Raises ProviderError, and ConfigError for a rate that Scribe does not take."""
        try:
            sound = AudioFormat(f"pcm_{rate_hz}")
        except ValueError as error:
            fact = f"the call has {rate_hz} Hz, which it does not take. Use another recogniser."
            raise ConfigError(f"stt {NAME}: {fact}") from error

        async def connect(hints: Hints) -> RealtimeConnection:
            options = {**self._options, "audio_format": sound, "sample_rate": rate_hz}
            if code := self._language_code or hints.language.partition("-")[0].lower():
                options["language_code"] = code
            if terms := self._terms(hints):
                options["keyterms"] = terms
            return await self._scribe.connect(RealtimeAudioOptions(**options))  # type: ignore[typeddict-item]

        stream = ElevenLabsSttStream(connect, rate_hz, timestamps=self._timestamps)
        await stream.open(hints)
        return stream

    def _terms(self, hints: Hints) -> list[str]:
        phrases = hints.phrases if self._use_phrases else ()
        words = (
            " ".join(re.sub(r"\{[^}]*\}", " ", phrase).split()) for phrase in (*self._keyterms, *phrases)
        )
        return list(dict.fromkeys(word for word in words if 0 < len(word) <= LONGEST_KEYTERM))[:MOST_KEYTERMS]


class _Mark:
    """Between two stretches of sound: the end of a turn."""


_COMMIT = _Mark()


class ElevenLabsSttStream:
    """One call's recogniser."""

    def __init__(self, connect: Connect, rate_hz: int, *, timestamps: bool) -> None:
        self._connect, self._rate_hz, self._timestamps = connect, rate_hz, timestamps
        self._chunk_bytes = int(CHUNK_S * rate_hz) * 2
        self._least_bytes = int(LEAST_COMMIT_S * rate_hz) * 2
        self._sound = bytearray()  # pushed, not sent
        self._uncommitted = 0  # bytes of this turn's segment
        self._todo: deque[bytes | _Mark | Hints] = deque()
        self._more = asyncio.Event()
        self._owed = 0  # commits that were sent and not answered
        self._settled = asyncio.Event()
        self._settled.set()
        self._language = ""
        self._mailbox = SttMailbox()
        self._connection: RealtimeConnection | None = None
        self._sender: asyncio.Task[None] | None = None

    async def open(self, hints: Hints) -> None:
        """Raises ProviderError."""
        self._language = hints.language
        self._connection = await self._begin(hints)
        self._sender = asyncio.create_task(self._send(), name="tell elevenlabs")

    # ------------------------------------------------------------ on the clock

    def push(self, frame: Frame) -> None:
        if self._mailbox.closed:
            return
        self._sound += frame.tobytes()
        if len(self._sound) >= self._chunk_bytes:
            self._cut()

    def start_turn(self) -> None:
        """It always listens."""

    def end_turn(self) -> None:
        missing = self._least_bytes - self._uncommitted - len(self._sound)
        self._sound += bytes(max(0, missing))
        self._cut()
        self._uncommitted = 0
        self._todo.append(_COMMIT)
        self._more.set()

    def expect(self, hints: Hints) -> None:
        """Another language is another connection; key terms stay those of the call's beginning, since a connection
        takes them at its beginning only and needs 2 s of sound before it understands."""
        if hints.language != self._language:
            self._language = hints.language
            self._cut()
            self._todo.append(hints)
            self._more.set()

    def _cut(self) -> None:
        """What was pushed so far goes up."""
        if self._sound:
            self._uncommitted += len(self._sound)
            self._todo.append(bytes(self._sound))
            self._sound.clear()
            self._more.set()

    # ------------------------------------------------------------ for the reader

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        """Hang up."""
        self._mailbox.close()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            await _hang_up(connection)

    # ------------------------------------------------------------ the task

    async def _send(self) -> None:
        """Sound, commits and changes of language, in the order in which they came."""
        while not self._mailbox.closed:
            while self._todo:
                try:
                    await self._tell(self._todo.popleft())
                except ConnectionClosed:
                    return  # its close says why
                except ProviderError as error:
                    self._mailbox.fail(error)
                    return
            self._more.clear()
            await self._more.wait()

    async def _tell(self, item: bytes | _Mark | Hints) -> None:
        assert self._connection is not None
        if isinstance(item, bytes):
            await self._connection.send({"audio_base_64": base64.b64encode(item).decode("ascii")})
        elif isinstance(item, Hints):
            await self._listen_for(item)
        else:
            self._owed += 1
            self._settled.clear()
            await self._connection.commit()

    async def _listen_for(self, hints: Hints) -> None:
        """Another language: what was committed is answered first; what is said meanwhile waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._settled.wait()
        new = await self._begin(hints)
        old, self._connection = self._connection, new
        for _ in range(self._owed):
            self._answer("", 1.0)
        if old is not None:
            await _hang_up(old)

    # ------------------------------------------------------------ the connection

    async def _begin(self, hints: Hints) -> RealtimeConnection:
        """A connection whose session has begun. Raises ProviderError."""
        connection: RealtimeConnection | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._connect(hints)
                await self._started(connection)
        except (InvalidHandshake, InvalidURI, OSError, TimeoutError, EOFError) as error:
            if connection is not None:
                await _hang_up(connection)
            raise not_opened(error) from error
        except (ProviderError, asyncio.CancelledError):
            if connection is not None:
                await _hang_up(connection)
            raise
        self._hear(connection)
        return connection

    async def _started(self, connection: RealtimeConnection) -> None:
        """Until the session has begun. Raises ProviderError if it does not."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def refuse(error: ProviderError) -> None:
            if not begun.done():
                begun.set_exception(error)

        def complain(data: Mapping[str, Any]) -> None:
            if (error := _error(data)) is not None:
                refuse(error)

        def accept(_: Mapping[str, Any]) -> None:
            if not begun.done():
                begun.set_result(None)

        connection.on(RealtimeEvents.SESSION_STARTED, accept)
        connection.on(RealtimeEvents.ERROR, complain)
        connection.on(RealtimeEvents.CLOSE, lambda how: refuse(closed(how["code"], how["reason"] or "")))
        await begun

    def _hear(self, connection: RealtimeConnection) -> None:
        """Have its events from now on, as long as it is the one in use."""

        def used(take: Callable[[Mapping[str, Any]], None]) -> Callable[[Mapping[str, Any]], None]:
            return lambda data: take(data) if connection is self._connection else None

        done = (
            RealtimeEvents.COMMITTED_TRANSCRIPT_WITH_TIMESTAMPS
            if self._timestamps
            else RealtimeEvents.COMMITTED_TRANSCRIPT
        )
        connection.on(RealtimeEvents.PARTIAL_TRANSCRIPT, used(self._partial))
        connection.on(done, used(self._committed))
        connection.on(RealtimeEvents.ERROR, used(self._failed))
        connection.on(RealtimeEvents.CLOSE, used(self._closed))

    def _partial(self, data: Mapping[str, Any]) -> None:
        if text := _text(data):
            self._mailbox.put(Partial(text))

    def _committed(self, data: Mapping[str, Any]) -> None:
        text, confidence = _text(data), _confidence(data.get("words"))
        if self._owed:
            self._answer(text, confidence)
        elif text:  # after 90 s the server commits by itself
            self._mailbox.put(Final(text, confidence))

    def _answer(self, text: str, confidence: float) -> None:
        self._owed -= 1
        if not self._owed:
            self._settled.set()
        self._mailbox.put(Final(text, confidence, ends_turn=True))

    def _failed(self, data: Mapping[str, Any]) -> None:
        if data.get("message_type") in ONLY_THIS_TURN:
            if self._owed:
                self._answer("", 1.0)
        elif (error := _error(data)) is not None:
            self._mailbox.fail(error)

    def _closed(self, how: Mapping[str, Any]) -> None:
        self._mailbox.fail(closed(how["code"], how["reason"] or ""))


def _error(data: Mapping[str, Any]) -> ProviderError | None:
    """What an error event means; None where the close that follows says it better."""
    kind, words = str(data.get("message_type") or ""), str(data.get("error") or "")
    if kind:
        return said(kind, words)
    return failed(NAME, "server", words) if "parse" in words else None


def _text(data: Mapping[str, Any]) -> str:
    return " ".join(str(data.get("text") or "").split())


def _confidence(words: object) -> float:
    """The mean probability of the words, 1.0 if none is known."""
    if not isinstance(words, list):
        return 1.0
    logs = [word.get("logprob") for word in words if isinstance(word, dict) and word.get("type") == "word"]
    known = [min(1.0, math.exp(log)) for log in logs if isinstance(log, int | float)]
    return round(sum(known) / len(known), 3) if known else 1.0


async def _hang_up(connection: RealtimeConnection) -> None:
    """Say goodbye, but not for long."""
    try:
        async with asyncio.timeout(GOODBYE_S):
            await connection.close()
    except TimeoutError:
        connection.websocket.transport.abort()
        await connection.close()  # at once now; ends the SDK's task as well
    finally:
        connection.websocket.transport.abort()  # even if we are cancelled meanwhile

"""A recogniser that takes a whole sound and answers once, as one that listens: SttStream over single requests.

speculative.py says when to ask; here requests are sent, given up and their answers put in order. A vendor's file gives
the one function that makes a request. Driven by the session; each request is a task of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from pipeline.errors import ConfigError, ProviderError
from pipeline.hearing.mailbox import SttMailbox
from pipeline.hearing.preroll import Preroll
from pipeline.ports import Final, Frame, Hints, SttEvent
from pipeline.providers.speculative import Ask, Loudness, Policy, SpeculativeTurn

SPARE = 2  # slots of the gate that are kept for callers who wait
GOODBYE_S = 0.05  # how long closing waits for requests to be given up

Recognise: TypeAlias = Callable[[bytes, int, Hints], AsyncGenerator[SttEvent, None]]
"""One request. (int16 mono, its rate in Hz, hints) → partials, if the server streams them, then one Final."""


@dataclass(slots=True)
class SttUsage:
    """What a recogniser has cost since it was made. reused: finals whose request left before the turn was over.
    sound_s: sent; billed_s: at the vendor's least length for a request."""

    requests: int = 0
    finals: int = 0
    reused: int = 0
    sound_s: float = 0.0
    billed_s: float = 0.0

    def sent(self, sound_s: float, least_s: float) -> None:
        self.requests += 1
        self.sound_s += sound_s
        self.billed_s += max(sound_s, least_s)


class Gate:
    """How many requests of one provider run at once, over all calls. Guesses are not sent when it is nearly full."""

    def __init__(self, slots: int) -> None:
        self._slots, self._wanted = slots, 0
        self._free = asyncio.Semaphore(slots)

    @property
    def spare(self) -> bool:
        """Is there room for a request that nobody waits for?"""
        return self._wanted < max(1, self._slots - SPARE)

    def want(self) -> None:
        """A request is about to wait here. Owes `done`."""
        self._wanted += 1

    def done(self) -> None:
        """It is over, or was given up."""
        self._wanted -= 1

    async def __aenter__(self) -> None:
        await self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class RequestStt:
    """Base of recognisers that answer requests. A vendor's class adds `name` and `recognise`."""

    name: str
    LEAST_BILLED_S: ClassVar[float] = 0.0  # a shorter request is paid for as if it were so long

    def __init__(self, *, silence_ms: int, every_ms: int, concurrency: int) -> None:
        """silence_ms: so much silence makes a request leave before the turn is over; every_ms: so much speech makes one
        leave for a partial; 0 for none. concurrency: requests at once, over all calls. Raises ConfigError."""
        if concurrency < 1 or silence_ms < 0 or every_ms < 0:
            fact = "concurrency must be 1 or more, silence_ms and every_ms not below 0. Change them."
            raise ConfigError(f"stt {self.name}: {fact}")
        self._policy, self._gate = Policy(silence_ms, every_ms), Gate(concurrency)
        self.usage = SttUsage()

    async def open(self, *, rate_hz: int, hints: Hints) -> RequestSttStream:
        return RequestSttStream(
            self.name,
            self.recognise,
            rate_hz=rate_hz,
            hints=hints,
            policy=self._policy,
            gate=self._gate,
            usage=self.usage,
            may_guess=self.may_guess,
            least_s=self.LEAST_BILLED_S,
        )

    def recognise(self, pcm: bytes, rate_hz: int, hints: Hints) -> AsyncGenerator[SttEvent, None]:
        """One request: see `Recognise`."""
        raise NotImplementedError

    def may_guess(self) -> bool:
        """May a request leave now that perhaps nobody needs?"""
        return True


class RequestSttStream:
    """One call's ears."""

    def __init__(
        self,
        name: str,
        recognise: Recognise,
        *,
        rate_hz: int,
        hints: Hints,
        policy: Policy,
        gate: Gate,
        usage: SttUsage,
        may_guess: Callable[[], bool],
        least_s: float = 0.0,
    ) -> None:
        self._name, self._least_s = name, least_s
        self._billed_s = 0.0  # since `used`
        self._recognise, self._rate_hz, self._hints, self._policy = recognise, rate_hz, hints, policy
        self._gate, self._usage, self._may_guess = gate, usage, may_guess
        self._preroll, self._loudness, self._mailbox = Preroll(), Loudness(), SttMailbox()
        self._turns: deque[_Turn] = deque()  # those that owe their Final, then the one that goes on
        self._tasks: set[asyncio.Task[None]] = set()

    def push(self, frame: Frame) -> None:
        loud = self._loudness.loud(frame)
        pcm = self._preroll.push(frame)
        if pcm is not None:
            turn = self._turns[-1]
            if (ask := turn.speech.hear(pcm, loud)) is not None:
                self._send(turn, ask)

    def start_turn(self) -> None:
        before = self._preroll.start()
        if before is not None:
            self._turns.append(_Turn(SpeculativeTurn(before, self._rate_hz, self._policy), self._hints))

    def end_turn(self) -> None:
        if not self._preroll.end():
            silent = _Turn(SpeculativeTurn(b"", self._rate_hz, self._policy), self._hints)
            silent.speech.final = Final("", 0.0, ends_turn=True)
            self._turns.append(silent)
        elif (ask := self._turns[-1].speech.end()) is not None:
            self._send(self._turns[-1], ask)
        self._tell()

    def expect(self, hints: Hints) -> None:
        self._hints = hints

    def used(self) -> dict[str, float]:
        """Seconds that are paid for: all requests but those that failed, guesses that were given up included."""
        billed, self._billed_s = self._billed_s, 0.0
        return {self._name: billed}

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return aiter(self._mailbox)

    async def aclose(self) -> None:
        self._mailbox.close()
        self._turns.clear()
        self._preroll.end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GOODBYE_S)

    def _send(self, turn: _Turn, ask: Ask) -> None:
        if self._mailbox.closed:
            return
        if not ask.owed and not (self._gate.spare and self._may_guess()):
            turn.speech.skipped(ask)
            return
        if turn.asking is not None:
            turn.asking.cancel()  # its sound lacks what was said since
        task = asyncio.get_running_loop().create_task(self._ask(turn, ask), name="recognise")
        turn.asking = task
        self._gate.want()
        self._tasks.add(task)
        task.add_done_callback(self._asked)

    async def _ask(self, turn: _Turn, ask: Ask) -> None:
        billed_s = 0.0
        try:
            async with self._gate, aclosing(self._recognise(ask.pcm, self._rate_hz, turn.hints)) as events:
                final = False
                billed_s = max(len(ask.pcm) / 2 / self._rate_hz, self._least_s)
                self._billed_s += billed_s
                async for event in events:
                    final = final or isinstance(event, Final)
                    partial = turn.speech.answered(ask, event)
                    if partial is not None and self._turns and turn is self._turns[0]:
                        self._mailbox.put(partial)
                    self._tell()
            if not final:
                raise ProviderError(
                    self._name, "server", "an answer without an end. Another request is made."
                )
        except ProviderError as error:
            self._billed_s -= billed_s
            again = turn.speech.failed(ask)
            if again is not None:
                turn.asking = None
                self._send(turn, again)
            elif ask.owed:
                self._mailbox.fail(error)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._gate.done()
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a mistake of ours: nobody may wait for it
            self._mailbox.fail(ProviderError(self._name, "server", f"{error!r}. Please report this."))

    def _tell(self) -> None:
        """The finals that are there, in the order of their turns."""
        while self._turns and (final := self._turns[0].speech.final) is not None:
            self._usage.finals += 1
            self._usage.reused += self._turns.popleft().speech.reused
            self._mailbox.put(final)


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn with its newest request. hints: what was expected when it began."""

    speech: SpeculativeTurn
    hints: Hints
    asking: asyncio.Task[None] | None = None

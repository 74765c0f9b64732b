"""Recognisers that stand in for each other, as one Stt: no word is lost when the one in use dies.

What the caller says is kept until its turn is answered, and told again to whoever takes over (retold.py)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from pipeline.errors import ProviderError
from pipeline.events import Event
from pipeline.hearing.mailbox import SttMailbox
from pipeline.ports import FRAME_MS, Final, Frame, Hints, Metered, Partial, Stt, SttEvent, SttStream
from pipeline.providers.resilient.attempt import Attempt, End
from pipeline.providers.resilient.member import Member
from pipeline.providers.resilient.policy import Routing
from pipeline.providers.resilient.retold import Retold
from pipeline.providers.resilient.team import Patience, Team, nobody

PATIENCE = Patience(beside_s=1.0, timeout_s=3.0, gap_s=1.0)
STEADY_S = 5.0  # a stream that lived so long had begun well; its failure is a new one
PAUSE_S = 0.5  # between two rounds through all recognisers
PROBE_HZ = 8000
GIVE_UP_S = 10.0  # without anybody who listens; then the stream fails

Ask = Attempt[Stt, SttEvent | None]


class _Overdue:
    """Instead of an event: the end of a turn is owed for too long."""


_OVERDUE = _Overdue()


class FallbackStt:
    """The first of these recognisers that opens, and the next one when it fails. One a call; members are shared.

    members: in order of preference, or as `routing` says.
    patience.gap_s: how long one may owe the end of a turn while there is another to
    ask. keep_s: of a turn's sound, for whoever takes over. Raises ProviderError when none of them can be opened.
    """

    def __init__(
        self,
        members: Sequence[Member[Stt] | Stt],
        *,
        emit: Callable[[Event], None] = nobody,
        patience: Patience = PATIENCE,
        routing: Routing | None = None,
        keep_s: float = 20.0,
    ) -> None:
        self._team: Team[Stt] = Team("stt", members, patience, emit, routing)
        self._keep_s = keep_s
        self.name, self.providers = self._team.name, self._team.providers

    async def open(self, *, rate_hz: int, hints: Hints) -> FallbackSttStream:
        stream = FallbackSttStream(self._team, rate_hz, hints, self._keep_s)
        await stream.open()
        return stream


class FallbackSttStream:
    """One call's recogniser, whoever that is at the moment."""

    def __init__(self, team: Team[Stt], rate_hz: int, hints: Hints, keep_s: float) -> None:
        self._team, self._rate_hz, self._hints = team, rate_hz, hints
        self._retold = Retold(keep_s)
        self._ears: dict[Ask, _Ear] = {}
        self._attempt: Ask | None = None
        self._stream: SttStream | None = None  # of self._attempt
        self._held: list[Final] = []  # of the turn that is not answered yet
        self._owed: deque[float] = deque()  # loop time in s of each end_turn()
        self._waiting: asyncio.Timeout | None = None
        self._failures, self._down_since = 0, 0.0  # since anybody delivered something, or lived well
        self._patient = False  # the end of a turn is overdue, but nobody else can be asked
        self._mailbox = SttMailbox()
        self._pushed = 0  # frames, to self._stream since `used`
        self._used: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Have a recogniser ready. Raises ProviderError."""
        if (error := await self._take_over(self._team.order())) is not None:
            raise self._team.all_failed(error)
        self._task = asyncio.create_task(self._listen(), name=f"listen with {self._team.name}")

    # ------------------------------------------------------------ on the clock

    def push(self, frame: Frame) -> None:
        self._retold.push(frame)
        if self._stream is not None:
            self._stream.push(frame)
            self._pushed += 1

    def start_turn(self) -> None:
        self._retold.start_turn()
        if self._stream is not None:
            self._stream.start_turn()

    def end_turn(self) -> None:
        self._retold.end_turn()
        self._owed.append(asyncio.get_running_loop().time())
        if len(self._owed) == 1 and self._waiting is not None:
            self._waiting.reschedule(self._deadline())
        if self._stream is not None:
            self._stream.end_turn()

    def expect(self, hints: Hints) -> None:
        self._hints = hints
        if self._stream is not None:
            self._stream.expect(hints)

    def used(self) -> dict[str, float]:
        """Seconds of sound, by recogniser; a stand-in's with what it was told again. Its own figure, if it has one."""
        self._count()
        used, self._used = self._used, {}
        return used

    def _count(self) -> None:
        pushed, self._pushed = self._pushed, 0
        if self._attempt is not None:
            name, stream = self._attempt.member.name, self._stream
            own = stream.used().values() if isinstance(stream, Metered) else None
            seconds = pushed * FRAME_MS / 1000 if own is None else sum(own)
            if seconds:
                self._used[name] = self._used.get(name, 0.0) + seconds

    # ------------------------------------------------------------ for the reader

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return self._mailbox.__aiter__()

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._keep(None)
        self._mailbox.close()

    # ------------------------------------------------------------ the task

    async def _listen(self) -> None:
        """Read whoever listens; find the next one when it fails, until nobody can."""
        while (attempt := self._attempt) is not None:
            try:
                event = await self._next(attempt)
            except ProviderError as error:
                await self._failed(attempt, error)
                continue
            if isinstance(event, _Overdue):
                await self._overdue(attempt)
            elif event is not None:  # None is what an ear calls its beginning
                self._take(event)

    async def _next(self, attempt: Ask) -> SttEvent | _Overdue | None:
        """Raises ProviderError if it failed or ended."""
        try:
            async with asyncio.timeout_at(self._deadline()) as self._waiting:
                event = await attempt.next()
        except TimeoutError:
            return _OVERDUE
        finally:
            self._waiting = None
        if isinstance(event, End):
            raise ProviderError(
                attempt.member.name, "connectivity", "the stream ended. Another one listens on."
            )
        return event

    def _deadline(self) -> float | None:
        """When the end of a turn is overdue, None while nothing is owed or there is nobody else."""
        if not self._owed or self._patient or len(self._team.members) == 1:
            return None
        return self._owed[0] + self._team.patience.gap_s

    def _take(self, event: SttEvent) -> None:
        """A turn's text is held until its end: if this recogniser dies before, the next one hears it all again."""
        self._failures, self._patient = 0, False
        if isinstance(event, Partial):
            self._mailbox.put(event)
        elif not event.ends_turn:
            self._held.append(event)
            self._mailbox.put(Partial(" ".join(final.text for final in self._held)))
        else:
            self._retold.answered()
            if self._owed:
                self._answered(self._owed.popleft())
            self._mailbox.put(_joined([*self._held, event]))
            self._held.clear()

    def _answered(self, ended_at: float) -> None:
        if self._attempt is not None:
            self._attempt.member.took(asyncio.get_running_loop().time() - ended_at)

    async def _overdue(self, attempt: Ask) -> None:
        """Another one hears the turn again; if there is none, better late than never."""
        attempt.member.took(self._team.patience.gap_s)
        attempt.member.failed(self._team.too_slow(attempt.member, self._team.patience.gap_s))
        self._failures += 1
        untried = self._failures < len(self._team.members)
        if untried and await self._take_over(self._team.order(but=attempt.member)) is None:
            return
        self._patient = True
        self._tell_held()

    async def _failed(self, attempt: Ask, error: ProviderError) -> None:
        """Whoever can listens from now on. A short while without the net costs no call: ask again after a pause."""
        now = asyncio.get_running_loop().time()
        attempt.member.failed(error)
        self._keep(None)
        if self._failures == 0 or now - attempt.asked_at > STEADY_S:
            self._failures, self._down_since = 0, now
        self._failures += 1
        if self._failures > 1 and self._failures % len(self._team.members) == 0:
            await asyncio.sleep(PAUSE_S)
        order = chain(self._team.order(but=attempt.member), [attempt.member])
        while asyncio.get_running_loop().time() - self._down_since < GIVE_UP_S:
            if (failed := await self._take_over(order)) is None:
                return
            error = failed
            await asyncio.sleep(PAUSE_S)
            order = chain(self._team.order())
        self._tell_held()
        self._mailbox.fail(self._team.all_failed(error))

    async def _take_over(self, order: Iterator[Member[Stt]]) -> ProviderError | None:
        """The next recogniser listens, and hears what is not answered yet. Returns why nobody does, if so."""
        race = await self._team.race(order, self._ask)
        if race.winner is None:
            self._keep(self._attempt)
            return race.error or self._team.all_failed(None)
        self._keep(race.winner)
        self._held.clear()
        self._owed = deque(asyncio.get_running_loop().time() for _ in self._owed)
        if self._stream is not None:
            self._pushed += self._retold.tell(self._stream)
        return None

    def _tell_held(self) -> None:
        """What was understood of a turn is better than nothing."""
        for final in self._held:
            self._mailbox.put(final)
        self._held.clear()

    def _ask(self, member: Member[Stt]) -> Ask:
        ear = _Ear(member.provider)
        attempt = Attempt(member, ear.listen(self._rate_hz, self._hints), lambda _: True)
        self._ears[attempt] = ear
        return attempt

    def _keep(self, attempt: Ask | None) -> None:
        """This one listens, all others are closed."""
        for other in [other for other in self._ears if other is not attempt]:
            other.close()
            del self._ears[other]
        self._count()
        self._attempt = attempt
        self._stream = self._ears[attempt].stream if attempt is not None else None


class _Ear:
    """One recogniser's stream. Its first item is None: it is open."""

    def __init__(self, stt: Stt) -> None:
        self._stt = stt
        self.stream: SttStream | None = None

    async def listen(self, rate_hz: int, hints: Hints) -> AsyncGenerator[SttEvent | None, None]:
        self.stream = stream = await self._stt.open(rate_hz=rate_hz, hints=hints)
        try:
            yield None
            async for event in stream:
                yield event
        finally:
            await stream.aclose()


async def probe_stt(stt: Stt) -> None:
    """Half a second of silence, and the end of the turn that it owes. Raises ProviderError if that does not come."""
    stream = await stt.open(rate_hz=PROBE_HZ, hints=Hints())
    try:
        stream.start_turn()
        for _ in range(25):
            stream.push(np.zeros(PROBE_HZ * FRAME_MS // 1000, np.int16))
        stream.end_turn()
        async for event in stream:
            if isinstance(event, Final) and event.ends_turn:
                return
        raise ProviderError(stt.name, "server", "the stream ended without an answer. See its status.")
    finally:
        await stream.aclose()


def _joined(finals: Sequence[Final]) -> Final:
    """A turn in one: as certain as its least certain part. The closing Final may be empty."""
    said = [final for final in finals if final.text] or list(finals[-1:])
    return Final(
        " ".join(final.text for final in said),
        min(final.confidence for final in said),
        all(final.understood for final in said),
        ends_turn=True,
    )

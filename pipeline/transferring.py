"""Sending the caller to somebody else: at once (blind), or after a word with them (attended).

An attended transfer puts the caller on hold, calls the other person, lets briefing.py speak to them in a conversation
of its own, and joins the two calls if they agree; if not, the caller is taken from hold and the agent learns why.
Driven by session.py; phones and sound are CallControl's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from pipeline.agent.briefing import UNAVAILABLE, Briefing
from pipeline.errors import PipelineError
from pipeline.events import TransferFinished, TransferStarted
from pipeline.ports import CallControl, Consultation, Destination, Talk, TransferResult
from pipeline.stage import Services, Stage
from pipeline.waiting import Waiting

BRIEFING_S = 120.0  # the caller waits meanwhile
RESUME_TRIES = 3
RESUME_AGAIN_S = 1.0


class Talking(Talk, Protocol):
    """A conversation from its first word to its last; pipeline.session.Session is it."""

    async def prepare(self) -> None: ...
    async def run(self) -> str: ...
    def close(self, reason: str) -> None: ...


class Transferring:
    """One call's transfers. converse: makes the conversation with whoever is asked (Session's own arguments)."""

    def __init__(
        self, stage: Stage, control: CallControl, waiting: Waiting, converse: Callable[..., Talking]
    ) -> None:
        self._stage, self._control, self._waiting = stage, control, waiting
        self._converse = converse

    async def transfer(self, to: Destination, briefing: str = "") -> TransferResult:
        """Once everything that is being said was heard. briefing: for whoever is asked, "": in the model's words."""
        stage = self._stage
        if stage.speeches is not None and stage.speeches.current is not None:
            await stage.speeches.current.wait_until_quiet()
        stage.emit(TransferStarted(stage.now(), to.target, to.attended))
        if to.fallback == "instead":
            result = await self._on_hold(to, self._joined)
        else:
            result = await (self._attended(to, briefing) if to.attended else self._blind(to))
        stage.emit(TransferFinished(stage.now(), to.target, result.ok, result.code, result.reason))
        return result

    async def _blind(self, to: Destination) -> TransferResult:
        result = await self._control.transfer(to.target)
        if result.ok or to.fallback != "bridge" or self._closed:
            return result
        return await self._on_hold(to, self._joined)

    async def _attended(self, to: Destination, briefing: str) -> TransferResult:
        async def asked(leg: Consultation, to: Destination) -> TransferResult:
            return await self._ask(leg, to, briefing)

        return await self._on_hold(to, asked)

    async def _on_hold(
        self, to: Destination, then: Callable[[Consultation, Destination], Any]
    ) -> TransferResult:
        """Let the caller wait, call the other one, do `then` with them. Back to the caller if nothing comes of it."""
        await self._waiting.hold()
        self._fill(False)
        result = TransferResult(False, 0, "it was broken off")
        try:
            leg = await self._control.consult(to.target, to.ring_s)
            if not isinstance(leg, TransferResult):
                result = await then(leg, to)
            elif leg.code and to.attended and to.fallback == "blind" and not self._closed:
                result = await self._control.transfer(to.target)
            else:
                result = leg
        finally:
            if not result.ok:
                await self._back()
        return result

    async def _joined(self, leg: Consultation, to: Destination) -> TransferResult:
        """Without a word to whoever picked up."""
        result = await leg.connect(False)
        if not result.ok:
            leg.hang_up(result.reason)
        return result

    async def _ask(self, leg: Consultation, to: Destination, briefing: str) -> TransferResult:
        """Speak to them; connect the caller if they agree. Else their line is hung up."""
        stage = self._stage
        agent = Briefing(stage.agent, stage.history, briefing)
        answer = agent.begin(stage.loop)
        services = Services(leg.vad, stage.stt, stage.llm, stage.tts, stage.services.turn_model)
        talk = self._converse(
            agent,
            services,
            leg.out,
            leg,
            emit=leg.emit,
            options=stage.options,
            userdata=stage.conversation.userdata,
        )
        result, talking = TransferResult(False, UNAVAILABLE, "nobody agreed"), None
        ended = stage.loop.create_task(leg.ended(), name="the other line")
        try:
            async with asyncio.timeout(BRIEFING_S):
                await talk.prepare()
                leg.carry(talk)
                talking = stage.loop.create_task(talk.run(), name="briefing")
                waiting: set[asyncio.Future[Any]] = {answer, ended, talking}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    result = answer.result()
                elif ended.done():
                    result = ended.result()
            if result.ok:
                result = await leg.connect(to.release)
        except TimeoutError:
            result = TransferResult(False, UNAVAILABLE, f"no decision within {BRIEFING_S:.0f} s")
        except PipelineError as error:
            result = TransferResult(False, UNAVAILABLE, str(error))
        finally:
            ended.cancel()
            talk.close("connected" if result.ok else "not connected")
            if not result.ok:
                leg.hang_up(result.reason)
            if talking is not None:
                await asyncio.wait({talking})
        if talking is not None and talking.exception() is not None and not result.ok:
            talking.result()  # an agent's own code: the tool that asked for the transfer fails with it
        return result

    async def _back(self) -> None:
        """The caller is talked to again."""
        self._fill(True)
        for _ in range(RESUME_TRIES):
            if self._closed or await self._waiting.resume():
                return
            await asyncio.sleep(RESUME_AGAIN_S)

    def _fill(self, on: bool) -> None:
        """Music plays: no fillers over it."""
        stage = self._stage
        if stage.speeches is not None:
            options, fillers = stage.turn.options, stage.agent.fillers
            stage.speeches.fill_with(fillers if on else (), options.filler_after_ms if on else 0)

    @property
    def _closed(self) -> bool:
        return self._stage.speeches is None or self._stage.speeches.closed

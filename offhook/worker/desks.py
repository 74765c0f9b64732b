"""Targets of the dial plan that talk to the caller: voicemail, announcement, menu, queue, ringing, consent.

Each is an agent without a model: it says what the plan says and does one thing. Its work is a task of its own, so that
taking over is quick; it ends when somebody else takes over or the call is over. Made by cast.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from offhook.worker.clips import spoken
from pipeline.agent.agent import Agent
from pipeline.agent.history import History, Message
from pipeline.agent.task import TaskFailed
from pipeline.agent.tasks import AskYesNo
from pipeline.agent.tools import StopResponse
from pipeline.errors import PipelineError
from pipeline.hearing.expectation import Expectation
from pipeline.ports import Voice
from pipeline.speaking.clip import Clip
from telephony.dialplan.model import Consent, TargetSpec
from telephony.dialplan.routing import Menu, Play, Queue, Ring, Voicemail
from telephony.dialplan.saying import Saying

log = structlog.get_logger()

NOBODY = "I am sorry, nobody is there. Goodbye."
WAITED = "I am sorry, nobody is free. Please call again later. Goodbye."
KEYS_TIMEOUT_MS = 500  # a menu has keys of one digit: nothing is waited for
ANSWER_S = 6.0  # to agree, before the question is asked again
REFUSED = "All right. We cannot go on without it. Goodbye."

Colleagues = Mapping[str, Callable[[], Agent]]


class Places(Protocol):
    """Where a call waits for its turn: the bridge of the call."""

    def queue_up(self, name: str, places: int) -> asyncio.Future[None]:
        """Done when fewer than `places` other calls of that queue are served."""

    def leave_queue(self, name: str) -> None:
        """The call waits no longer."""


class Target(Agent):
    """Whoever does one thing with the caller. colleagues: whom it can hand over to. rate_hz: of the call's sound."""

    begins_again = True

    def __init__(self, name: str, voice: Voice, colleagues: Colleagues) -> None:
        super().__init__(name=name, voice=voice, phrases=("yes", "no"), fillers=(), silence={"after_s": 0.0})
        self.colleagues = colleagues
        self.rate_hz = 8000
        self._work: asyncio.Task[None] | None = None

    async def on_enter(self) -> None:
        """Begin."""
        self._work = asyncio.get_running_loop().create_task(self._worked(), name=f"target {self.name}")

    async def on_exit(self) -> None:
        """Somebody else takes over, or the call is over."""
        if self._work is not None and self._work is not asyncio.current_task():
            self._work.cancel()

    async def on_user_turn_completed(self, history: History, message: Message) -> Message:
        """Nobody answers what is said here."""
        raise StopResponse

    async def work(self) -> None:
        """What is done with the caller."""
        raise NotImplementedError

    async def _worked(self) -> None:
        try:
            await self.work()
        except PipelineError as error:
            log.error("target_failed", target=self.name, error=str(error))
            self.session.end_call("error")

    def spoken(self, saying: Saying) -> str | Clip:
        """For `say`: the plan's words, or a recording of them."""
        return spoken(saying, self.rate_hz)

    async def say(self, saying: Saying | str) -> None:
        """Say it and wait until it was heard."""
        if saying:
            words = saying if isinstance(saying, str) else self.spoken(saying)
            await self.session.say(words, allow_interruptions=False).wait_for_playout()

    async def go_on(self, name: str, otherwise: Saying | str = "") -> None:
        """To whoever is called so; without a name say goodbye and hang up."""
        if name in self.colleagues:
            self.session.hand_over(self.colleagues[name]())
            return
        await self.say(otherwise)
        self.session.end_call("agent_hung_up")


class VoicemailDesk(Target):
    """Takes a message."""

    def __init__(self, spec: Voicemail, name: str, voice: Voice, colleagues: Colleagues) -> None:
        super().__init__(name, voice, colleagues)
        self._spec = spec

    async def work(self) -> None:
        spec = self._spec
        await self.say(spec.say)
        await self.session.take_message(spec.max, spec.silence)
        await self.go_on("", spec.thanks)


class PlayDesk(Target):
    """Says something."""

    def __init__(self, spec: Play, name: str, voice: Voice, colleagues: Colleagues) -> None:
        super().__init__(name, voice, colleagues)
        self._spec = spec

    async def work(self) -> None:
        await self.say(self._spec.say)
        await self.go_on(self._spec.then)


class RingDesk(Target):
    """Phones somebody and joins the two calls."""

    def __init__(self, spec: Ring, name: str, voice: Voice, colleagues: Colleagues) -> None:
        super().__init__(name, voice, colleagues)
        self._spec = spec

    async def work(self) -> None:
        outcome = await self.session.transfer(self._spec.target, ring_s=self._spec.ring, fallback="instead")
        if not outcome.ok:
            log.info("nobody_answered", target=self.name, code=outcome.code, reason=outcome.reason)
            await self.go_on(self._spec.then, NOBODY)


class MenuDesk(Target):
    """Keys, or the names of where they lead, said."""

    def __init__(self, spec: Menu, name: str, voice: Voice, colleagues: Colleagues) -> None:
        super().__init__(name, voice, colleagues)
        self._spec = spec
        self.keys = dict(spec.keys)
        self.turn_handling = {"keys_timeout_ms": KEYS_TIMEOUT_MS}
        self.hints = type(self.hints)(tuple(dict.fromkeys(spec.keys.values())), self.hints.language)
        self._chosen: asyncio.Future[str] | None = None

    async def on_user_turn_completed(self, history: History, message: Message) -> Message:
        """A key counts as what it stands for."""
        said = message.text.strip().lower()
        name = next((name for name in self.colleagues if name.lower() == said), "")
        if name and self._chosen is not None and not self._chosen.done():
            self._chosen.set_result(name)
        raise StopResponse

    def on_keys(self, keys: str) -> bool:
        """A key that leads nowhere: the menu is said again at once."""
        if self._chosen is not None and not self._chosen.done():
            self._chosen.set_result("")
        return True

    async def work(self) -> None:
        for _ in range(self._spec.tries):
            chosen = self._chosen = asyncio.get_running_loop().create_future()
            saying = self.session.say(self.spoken(self._spec.say))
            heard = asyncio.ensure_future(saying.wait_for_playout())
            await asyncio.wait({chosen, heard}, return_when=asyncio.FIRST_COMPLETED)
            heard.cancel()
            await asyncio.wait({chosen}, timeout=self._spec.wait)
            if chosen.done():
                saying.interrupt()
            if chosen.done() and (name := chosen.result()):
                await self.go_on(name)
                return
        await self.go_on(self._spec.then, NOBODY)


class QueueDesk(Target):
    """Waits with the caller until the agent is free."""

    def __init__(
        self, spec: Queue, name: str, voice: Voice, colleagues: Colleagues, places: Places | None
    ) -> None:
        super().__init__(name, voice, colleagues)
        self._spec, self._places = spec, places

    async def work(self) -> None:
        spec, loop = self._spec, asyncio.get_running_loop()
        if self._places is None:
            await self.go_on(spec.agent)
            return
        turn = self._places.queue_up(self.name, spec.places)
        await asyncio.wait({turn}, timeout=0.5)  # who need not wait hears nothing of a queue
        until = loop.time() + spec.longest
        while not turn.done() and loop.time() < until:
            await self.say(spec.say)
            await self.session.hold()
            await asyncio.wait({turn}, timeout=max(min(spec.every, until - loop.time()), 0.0))
            await self.session.resume()
        if turn.done():
            await self.go_on(spec.agent)
            return
        self._places.leave_queue(self.name)
        await self.go_on(spec.then, WAITED)


class AskConsent(AskYesNo):
    """The question, out of a file if there is one. Who says nothing does not agree."""

    def __init__(self, question: Saying, rate_hz: int) -> None:
        silence = {"after_s": ANSWER_S, "times": 1, "ask": question.text or None}
        super().__init__(question.text, silence=silence)
        self._asked = spoken(question, rate_hz)

    def on_silence(self) -> bool:
        """Asked twice, and not a word."""
        self.fail("The caller said nothing.", "declined")
        return True

    def _say(self, text: str, expectation: Expectation | None) -> None:
        if isinstance(self._asked, Clip) and self.question in text:
            self.session.expect(expectation)
            self.session.say(self._asked)
        else:
            super()._say(text, expectation)


class ConsentDesk(Target):
    """Asks whether the call may be recorded; until then it is not."""

    def __init__(self, spec: Consent, name: str, voice: Voice, colleagues: Colleagues) -> None:
        super().__init__(name, voice, colleagues)
        self._spec = spec
        self.silence = {}  # whoever says nothing is asked again

    async def work(self) -> None:
        try:
            agreed = await AskConsent(self._spec.question, self.rate_hz).run(self.session)
        except TaskFailed:
            agreed = False
        if agreed:
            self.session.resume_recording()
        if agreed or self._spec.if_refused == "continue":
            await self.go_on(self._spec.then)
        else:
            await self.go_on("", REFUSED)


def desk(
    does: TargetSpec | Consent,
    name: str,
    voice: Voice,
    colleagues: Colleagues,
    places: Places | None,
    rate_hz: int = 8000,
) -> Target:
    """The target as the plan describes it."""
    target = _made(does, name, voice, colleagues, places)
    target.rate_hz = rate_hz
    return target


def _made(
    does: TargetSpec | Consent, name: str, voice: Voice, colleagues: Colleagues, places: Places | None
) -> Target:
    if isinstance(does, Consent):
        return ConsentDesk(does, name, voice, colleagues)
    match does.does:
        case Ring() as spec:
            return RingDesk(spec, name, voice, colleagues)
        case Voicemail() as spec:
            return VoicemailDesk(spec, name, voice, colleagues)
        case Play() as spec:
            return PlayDesk(spec, name, voice, colleagues)
        case Menu() as spec:
            return MenuDesk(spec, name, voice, colleagues)
        case Queue() as spec:
            return QueueDesk(spec, name, voice, colleagues, places)
    raise PipelineError(f"target {name!r} answers no call. Mend it in the dial plan.")

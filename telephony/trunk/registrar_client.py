"""Keeps one registration alive: sends what registration.py wants, when it wants it, over a phone.

Driven by its own task, one a trunk. Owns sequence only."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from telephony.sip.digest import Credentials, Login
from telephony.sip.message import Request, Response
from telephony.sip.uri import Uri
from telephony.trunk.registration import Account, Registration, Standing

GOODBYE_S = 2.0  # how long a registrar may take to let us go

log = structlog.get_logger(__name__)


class Wire(Protocol):
    """The phone, as a registration sees it."""

    def now(self) -> float:
        """Loop time, s."""

    def login(self, credentials: Credentials | None) -> Login | None:
        """A login for one registration."""

    async def contact_for(self, user: str, target: str) -> str:
        """Where that user of ours can be reached by whoever is at that URI, as a Contact header value."""

    async def request(
        self, request: Request, target: str | Sequence[str], login: Login | None = None
    ) -> Response:
        """Send a request that belongs to no call and wait for its final response."""


class RegistrarClient:
    """One trunk's login. others: the same user at further registrars, for when one fails. target: where its
    REGISTER goes, if that is not the account's domain (a proxy).

    told: hears of every change of standing, after `standing` has it."""

    def __init__(
        self,
        phone: Wire,
        trunk: str,
        account: Account,
        credentials: Credentials | None,
        *,
        others: Sequence[Account] = (),
        target: str = "",
        told: Callable[[str, Standing], None] = lambda trunk, standing: None,
    ) -> None:
        self._phone, self._trunk, self._told = phone, trunk, told
        self._target = target
        self._login = phone.login(credentials)
        self._machine = Registration(
            account,
            "",
            secrets.token_hex(8),
            secrets.token_hex(8),
            phone.now(),
            random.uniform,
            others,
        )

    @property
    def standing(self) -> Standing:
        """How we stand with the registrar."""
        return self._machine.standing

    async def run(self) -> None:
        """Until cancelled, or until `leave`."""
        while (due := self._machine.next_deadline()) is not None:
            await asyncio.sleep(due - self._phone.now())
            await self._register()

    async def leave(self) -> None:
        """Say goodbye to the registrar, so that it sends no more calls here. Cancel `run` first."""
        if self._machine.leave(self._phone.now()):
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await self._register()
            except TimeoutError:
                log.info("trunk.goodbye_unanswered", trunk=self._trunk)

    async def _register(self) -> None:
        machine, before = self._machine, (self._machine.standing, self._machine.why)
        target = self._target or machine.account.registrar
        machine.contact = await self._phone.contact_for(Uri.parse(machine.account.uri).user, target)
        response = await self._phone.request(machine.request(), target, self._login)
        machine.receive(response, self._phone.now())
        if (machine.standing, machine.why) == before:
            return
        if machine.why:
            log.warning(
                "trunk.not_registered", trunk=self._trunk, why=machine.why, standing=machine.standing.name
            )
        else:
            log.info("trunk.registration", trunk=self._trunk, standing=machine.standing.name)
        self._told(self._trunk, machine.standing)

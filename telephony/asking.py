"""Requests of ours that belong to no call: REGISTER, OPTIONS. Each waits for its final response.

Part of phone.py, which knows the addresses. Not the call, and not what the answers mean (trunk/registration.py,
trunk/keepalive.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from telephony.sip import events as sip
from telephony.sip.digest import Login
from telephony.sip.message import Request, Response
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow
from telephony.trunk.locate import worth_another


class Asking:
    """What has been asked and not answered. perform: carries out what the stack says."""

    def __init__(self, stack: Stack, perform: Callable[[Sequence[Action]], None]) -> None:
        self._stack, self._perform = stack, perform
        self._waiting: dict[str, asyncio.Future[Response]] = {}  # by transaction

    async def request(
        self, request: Request, flows: Sequence[Flow], login: Login | None, patience_s: float
    ) -> Response:
        """Ask at each address until one answers that is worth having.

        patience_s: how long one may be silent while there are others. A timeout is a 408, a broken flow a 503."""
        response = Response(408, "No answer")
        for number, flow in enumerate(flows, 1):
            patience = patience_s if number < len(flows) else None
            response = await self._ask(request.copy(), flow, login, patience)
            if not worth_another(response.status, rang=False):
                break
        return response

    def hear(self, event: sip.LegEvent) -> bool:
        """Is this the answer to one of them? It is settled if it is final."""
        if not isinstance(event, sip.Replied | sip.Unanswered):
            return False
        answer = self._waiting.get(event.transaction.key)
        if answer is None:
            return False
        if answer.done():
            return True
        if isinstance(event, sip.Unanswered):
            answer.set_result(Response(event.code, event.reason))
        elif event.response.status >= 200:
            answer.set_result(event.response)
        return True

    async def _ask(
        self, request: Request, flow: Flow, login: Login | None, patience_s: float | None
    ) -> Response:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        transaction, actions = self._stack.request(request, flow, asyncio.get_running_loop().time(), login)
        self._waiting[transaction.key] = answer
        try:
            self._perform(actions)
            async with asyncio.timeout(patience_s):
                return await answer
        except TimeoutError:
            return Response(408, "No answer")
        finally:
            del self._waiting[transaction.key]

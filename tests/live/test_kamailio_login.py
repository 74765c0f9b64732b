"""Login, registration and a call through a record-routing proxy, with Kamailio as the carrier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from telephony.call.state import Leg
from telephony.errors import CallFailed
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.digest import Credentials
from telephony.trunk.registrar_client import RegistrarClient
from telephony.trunk.registration import Account, Standing
from tests.live.kamailio import HOST, PASSWORD, USER, Kamailio, running_kamailio
from tests.live.server import running_server

BOT = Credentials(USER, PASSWORD)


@asynccontextmanager
async def a_phone(first: int) -> AsyncIterator[Phone]:
    async with (
        asyncio.timeout(30),
        Phone(host=HOST, port=0, ports=PortPool(HOST, first, first + 100)) as phone,
    ):
        yield phone


@asynccontextmanager
async def logged_in(phone: Phone, kamailio: Kamailio) -> AsyncIterator[RegistrarClient]:
    """A phone that Kamailio knows; it leaves at the end."""
    known = asyncio.Event()
    account = Account.at(USER, HOST, kamailio.port)
    client = RegistrarClient(phone, "kamailio", account, BOT, told=lambda *_: known.set())
    running = asyncio.create_task(client.run())
    try:
        await known.wait()
        yield client
    finally:
        running.cancel()
        await client.leave()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_call_reaches_us_through_the_carrier_we_are_registered_at(
    tmp_path: Path, algorithm: str
) -> None:
    """Rows 12, 13, 19: REGISTER with 401, INVITE with 407, record-routed BYE; after leaving nobody reaches us."""
    async with (
        running_kamailio(tmp_path, algorithm=algorithm) as kamailio,
        a_phone(25000) as bot,
        a_phone(25200) as anna,
    ):
        target = f"sip:{USER}@{HOST}:{kamailio.port}"
        async with logged_in(bot, kamailio) as client:
            dialing = asyncio.create_task(anna.dial(target, credentials=BOT))
            theirs = await anext(bot.calls())
            assert theirs.source == (HOST, kamailio.port) and theirs.dialog is not None
            assert len(theirs.dialog.routes) == 1
            assert theirs.request.get("Proxy-Authorization") is None
            theirs.answer()
            ours = await dialing
            await theirs.settled()
            assert ours.leg is Leg.TALKING
            theirs.hang_up("done")
            assert (await ours.ended()).by == "callee"
        assert client.standing is Standing.LEFT
        with pytest.raises(CallFailed) as failed:
            await anna.dial(target, credentials=BOT)
        assert failed.value.code == 404


async def test_a_wrong_password_is_not_let_in_by_the_carrier(tmp_path: Path) -> None:
    """One try, then the 407 is the answer; Kamailio does not say `stale`."""
    async with running_kamailio(tmp_path) as kamailio, a_phone(25000) as anna:
        with pytest.raises(CallFailed) as failed:
            await anna.dial(f"sip:{USER}@{HOST}:{kamailio.port}", credentials=Credentials(USER, "guess"))
        assert failed.value.code == 407


async def test_a_server_logs_in_at_its_trunk_and_takes_the_calls_that_come_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row "REGISTER as client": the settings alone do it, and after SIGTERM the carrier knows us no more."""
    monkeypatch.setenv("KAMAILIO_PASSWORD", PASSWORD)
    async with running_kamailio(tmp_path) as kamailio, a_phone(25000) as anna:
        where = f"{HOST}:{kamailio.port}"
        trunk = (
            f"{{name: carrier, host: '{where}', user: '100', password_env: KAMAILIO_PASSWORD, register: yes}}"
        )
        async with running_server(tmp_path, spares=0, workers=1, settings=f"trunks: [{trunk}]\n") as server:

            async def registered() -> float:
                return (await server.metrics()).get('offhook_trunk_registered{trunk="carrier"}', 0.0)

            await server.until_metric(registered, lambda value: value == 1.0, "registration", 10)
            call = await anna.dial(f"sip:100@{where}", credentials=BOT)
            folder = await server.last_call()
            call.hang_up("done")
            facts = await server.finished(folder)
            assert (facts["trunk"], facts["called"]) == ("carrier", "100")
            assert facts["source"] == [HOST, kamailio.port]
        with pytest.raises(CallFailed) as failed:
            await anna.dial(f"sip:100@{where}", credentials=BOT)
        assert failed.value.code == 404

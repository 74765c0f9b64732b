"""The trunks of this machine while it runs: the gate in front of the phone, one login a registered trunk, and
one pulse a trunk that is asked whether it is there.

Joins the settings with telephony/trunk/. Decides nothing: who may ring is access.py's, when to register
registration.py's, what counts as life keepalive.py's."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import AsyncIterator
from dataclasses import asdict

import structlog

from offhook.access_settings import TrunkSettings
from offhook.settings import Settings
from offhook.switch.metrics import Metrics
from telephony.dialplan.number import parse_pattern
from telephony.errors import CallFailed
from telephony.phone import Phone
from telephony.sip.digest import Credentials, Doorkeeper
from telephony.sip.headers import Address
from telephony.sip.uri import split_host_port
from telephony.trunk.access import Access, Network, Policy, Trunk
from telephony.trunk.keepalive import Pulse
from telephony.trunk.outbound import WayOut
from telephony.trunk.registrar_client import RegistrarClient
from telephony.trunk.registration import Account, Standing

RESOLVE_EVERY_S = 300.0  # a carrier's name may point elsewhere tomorrow

log = structlog.get_logger()


class Trunks:
    """Every trunk of the settings. access: for the phone, before it is entered."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._trunks, self._metrics = settings.trunks, metrics
        self._strangers = settings.strangers
        self._loop = asyncio.get_running_loop()
        doorkeeper = Doorkeeper(settings.access.realm, secrets.token_bytes(32))
        self.access = Access(
            [_ringing(trunk) for trunk in settings.trunks],
            _policy(settings),
            doorkeeper,
            self._loop.time(),
            self._notice,
        )

    @contextlib.asynccontextmanager
    async def open(self, phone: Phone) -> AsyncIterator[None]:
        """Log in everywhere, and log out at the end, so that no carrier sends calls to a server that is gone."""
        clients = [self._client(phone, trunk) for trunk in self._trunks if trunk.registers]
        tasks = [asyncio.create_task(client.run(), name="registration") for client in clients]
        tasks += [
            asyncio.create_task(self._resolve(phone, trunk), name=f"addresses of {trunk.name}")
            for trunk in self._trunks
            if not trunk.challenge and not all(map(_literal, trunk.host))
        ]
        tasks += [
            asyncio.create_task(self._keep_alive(phone, trunk), name=f"keep-alive {trunk.name}")
            for trunk in self._trunks
            if trunk.keepalive_s
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*[client.leave() for client in clients])

    def count(self) -> None:
        """Bring the metrics up to date."""
        for verdict, number in asdict(self.access.counters).items():
            self._metrics.gate.labels(verdict).set(number)

    def _client(self, phone: Phone, trunk: TrunkSettings) -> RegistrarClient:
        self._metrics.registered.labels(trunk.name).set(0)
        first, *others = [
            Account.at(trunk.user, *split_host_port(host), trunk.expiry_s) for host in trunk.host
        ]
        return RegistrarClient(
            phone, trunk.name, first, _credentials(trunk), others=others, told=self._registered
        )

    def _registered(self, trunk: str, standing: Standing) -> None:
        self._metrics.registered.labels(trunk).set(standing is Standing.IN)

    async def _resolve(self, phone: Phone, trunk: TrunkSettings) -> None:
        """Keep the gate informed of the addresses that a trunk's names stand for."""
        known: dict[str, list[str]] = {}
        while True:
            for host in trunk.host:
                try:
                    known[host] = await phone.addresses(f"sip:{host}")
                except CallFailed as error:
                    log.warning("trunk_unresolved", trunk=trunk.name, host=host, error=str(error))
            self.access.learn(trunk.name, [address for found in known.values() for address in found])
            await asyncio.sleep(RESOLVE_EVERY_S)

    async def _keep_alive(self, phone: Phone, trunk: TrunkSettings) -> None:
        """Ask the trunk again and again whether it is there; say so when it has come or gone."""
        places = [f"sip:{host}" for host in trunk.host]
        us = Address.parse(await phone.contact_for(trunk.user or "offhook", places[0])).uri
        pulse = Pulse(places[0], str(us), secrets.token_hex(8), secrets.token_hex(8))
        login = phone.login(_credentials(trunk))
        while True:
            if pulse.receive(await phone.request(pulse.request(), places, login)):
                self._metrics.trunk_up.labels(trunk.name).set(pulse.up is True)
                if pulse.up:
                    log.info("trunk_up", trunk=trunk.name)
                else:
                    log.warning("trunk_down", trunk=trunk.name, host=trunk.host, why=pulse.why)
            await asyncio.sleep(trunk.keepalive_s)

    def _notice(self, what: str, host: str) -> None:
        if what == "banned":
            log.warning("source_banned", source=host, seconds=self.access.policy.ban_s)
        else:
            log.warning(
                "stranger_refused",
                source=host,
                strangers=self._strangers,
                remedy="to let it ring, add a trunk with `allow_from`, or set access.strangers",
            )


def way_out(trunk: TrunkSettings) -> WayOut:
    """How calls leave over a trunk."""
    (host, port), *more = [split_host_port(text) for text in trunk.host or ("invalid",)]
    return WayOut(
        trunk=trunk.name,
        host=host,
        port=port,
        allowed=tuple(parse_pattern(text) for text in trunk.allowed),
        credentials=_credentials(trunk),
        caller=trunk.caller_id.show or trunk.user,
        asserted=trunk.caller_id.asserted,
        headers=tuple(trunk.headers.items()),
        more=tuple(more),
    )


def _ringing(trunk: TrunkSettings) -> Trunk:
    networks: list[Network] = [ipaddress.ip_network(text) for text in trunk.allow_from]
    if not trunk.challenge:
        networks += [ipaddress.ip_network(address) for host in trunk.host if (address := _literal(host))]
    return Trunk(
        name=trunk.name,
        networks=tuple(networks),
        credentials=_credentials(trunk),
        asks_login=trunk.challenge,
        trusted=trunk.caller_id.believe,
        codecs=trunk.codecs,
        srtp=trunk.srtp,
        contact_user=trunk.user if trunk.registers else "",
        tls_name=trunk.tls_name,
    )


def _credentials(trunk: TrunkSettings) -> Credentials | None:
    password = trunk.password.get_secret_value()
    return Credentials(trunk.auth_user or trunk.user, password) if trunk.user and password else None


def _policy(settings: Settings) -> Policy:
    access, codes = settings.access, settings.access.codes
    return Policy(
        strangers=settings.strangers,
        scanners=access.scanners,
        per_second=access.per_second,
        per_second_source=access.per_second_source,
        ban_s=access.ban_s,
        retry_after_s=access.retry_after_s,
        stranger_code=codes.stranger,
        login_code=codes.login,
        flood_code=codes.flood,
    )


def _literal(host: str) -> str:
    """The address, if the host is one and not a name."""
    name, _ = split_host_port(host)
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return ""

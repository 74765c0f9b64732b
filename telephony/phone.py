"""The one door to telephony: a phone that takes and places calls over SIP.

Driven by the switch, which never touches media and passes `call.rtp` on, and by the softphone, which plays it
itself. Joins the sockets (trunk/), the stack (sip/stack.py) and the calls (call/call.py), and decides
nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog

from telephony.asking import Asking
from telephony.call.call import Call, hang_up
from telephony.call.events import CallEvent
from telephony.call.referred import Detour
from telephony.call.state import Leg
from telephony.dscp import SIGNALLING
from telephony.errors import CallFailed
from telephony.media.ports import PortPair, PortPool
from telephony.moves import Moves
from telephony.sdp.crypto import SrtpPolicy, draw_keys
from telephony.sdp.negotiate import LocalMedia
from telephony.sip import events as sip
from telephony.sip.dialog import LegKey
from telephony.sip.digest import Credentials, Login
from telephony.sip.endpoint import Counters, Endpoint, homes_at
from telephony.sip.message import Request, Response, as_bytes
from telephony.sip.redirect import MayFollow, Redirection, same_host
from telephony.sip.stack import Stack
from telephony.sip.transaction import Action, Flow
from telephony.sip.uri import Uri
from telephony.trunk.access import Access
from telephony.trunk.attempt import Attempt, Way
from telephony.trunk.locate import Locator, Names
from telephony.trunk.sockets import Shelf, Sockets, shown_address
from telephony.trunk.tls import Tls
from telephony.trunk.transport import Transport

RETRY_AFTER_S = 5  # what callers are told who come while we leave
NO_WORD_S = 4.0  # a request was sent four times by then; a dead target must not cost the caller 32 s

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an INVITE does not become a call. retry_after: s, 0 for never mind (RFC 3261 §20.33)."""

    code: int
    reason: str = ""
    retry_after: int = 0

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header lines that go with it."""
        return (("Retry-After", str(self.retry_after)),) if self.retry_after else ()


class Phone:
    """Takes and places calls on one address, IPv4 or IPv6, or on one of each: by UDP, on the same port by TCP, and
    by TLS. Contact and media follow the family of the peer.

    host, port: local, port 0 for any free one. ports: where calls get RTP ports, a pool for each host.
    public_host: what peers are told to reach us at, if it is not the local address. codecs: names in order of
    preference. tls: None for no TLS. dscp: what our messages are marked with (RFC 2474). srtp: is the sound
    encrypted (LocalMedia.srtp), where the trunk does not say? names: whom to ask for NAPTR and SRV records
    (trunk/dns.py), None to do without. access: who may ring, None for everybody; set it before entering. admit:
    asked before a Call exists, with the INVITE, its source and the trunk's name ("" for none); None lets it pass.
    options_status: what OPTIONS is answered with, 503 while draining. moves: calls that change their leg;
    `moves.refer` says where a far side may send us. on_change: a call's snapshot is out of date; before_hearing:
    awaited when calls can be adopted and nothing has been heard yet; shelf: where sockets outlive this process.
    no_word_s: how long a target may be silent before the next one, if there is one, is tried. address, tls_port:
    where we listen, once entered; tls_port is 0 without a certificate."""

    def __init__(
        self,
        *,
        host: str | Sequence[str] = "127.0.0.1",
        port: int = 5060,
        ports: PortPool | Sequence[PortPool],
        public_host: str | Sequence[str] | None = None,
        user_agent: str = "Offhook",
        codecs: tuple[str, ...] = ("PCMU", "PCMA"),
        tcp: bool = True,
        tls: Tls | None = None,
        names: Names | None = None,
        dscp: int = SIGNALLING,
        srtp: SrtpPolicy = "off",
        shelf: Shelf | None = None,
    ) -> None:
        self.access: Access | None = None
        self.admit: Callable[[Request, tuple[str, int], str], Rejection | None] | None = None
        self.options_status: Callable[[], int] | None = None
        self.on_change: Callable[[Call], None] | None = None
        self.before_hearing: Callable[[], Awaitable[None]] | None = None
        self.goodbye_s = 2.0
        self.no_word_s = NO_WORD_S
        self._hosts = (host,) if isinstance(host, str) else tuple(host)
        self.address = (self._hosts[0], port)
        self.tls_port = 0
        self._tcp, self._tls, self._names, self._dscp = tcp, tls, names, dscp
        self._ports = (ports,) if isinstance(ports, PortPool) else tuple(ports)
        self._public = (public_host,) if isinstance(public_host, str) else tuple(public_host or ())
        self._user_agent = user_agent
        self._codecs = codecs
        self._srtp: SrtpPolicy = srtp
        self._shelf = shelf
        self._calls: dict[LegKey, Call] = {}
        self.moves = Moves(self, self._calls, self._dial_on)
        self._waiting: asyncio.Queue[Call | None] = asyncio.Queue()
        self._leaving = False
        self._said_goodbye = asyncio.Event()

    async def __aenter__(self) -> Self:
        sockets = Sockets(
            self._hosts, self.address[1], tcp=self._tcp, tls=self._tls, dscp=self._dscp, shelf=self._shelf
        )
        self.address, self.tls_port = (self._hosts[0], sockets.port), sockets.tls_port
        self._shown = {":" in host: shown_address(host, self._public) for host in self._hosts}
        self._endpoint = self._make_endpoint()
        self.stack = Stack(self._endpoint)
        self._asking = Asking(self.stack, self.perform)
        self._transport = Transport(self.stack, self._hear)
        sockets.speak(self._transport)
        if self.before_hearing is not None:
            await self.before_hearing()
            self.perform(())  # the timers of what was adopted ring from now on
        await sockets.listen()
        self._locator = Locator(
            v4=False in self._shown,
            v6=True in self._shown,
            transports=sockets.transports,
            draw=random.uniform,
            names=self._names,
        )
        return self

    def _make_endpoint(self) -> Endpoint:
        homes = homes_at(self._shown, self.address[1], self.tls_port, self._user_agent.lower())
        return Endpoint(
            sent_by=homes["udp"].sent_by,
            contact=homes["udp"].contact,
            product=self._user_agent,
            token=lambda: secrets.token_hex(8),
            options_status=lambda: self.options_status() if self.options_status else 200,
            homes=homes,
            tcp=self._tcp,
            supported=frozenset({"timer", "100rel", "replaces", "norefersub"}),
            gate=self.access.judge if self.access else None,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up what is left (BYE, CANCEL, 503), give the far sides a moment to agree, close the
        sockets."""
        self._leaving = True
        self._waiting.put_nowait(None)
        try:
            for call in tuple(self._calls.values()):
                self._dismiss(call)
            self.moves.close()
            self._check_goodbye()
            async with asyncio.timeout(self.goodbye_s):
                await self._said_goodbye.wait()
        except TimeoutError:
            log.info("phone.left_without_answer", calls=len(self._calls), requests=self.stack.pending)
        finally:
            await self._transport.close()
            for call in tuple(self._calls.values()):
                call.abandon()

    @property
    def counters(self) -> Counters:
        """What the wire has brought so far."""
        return self.stack.counters

    @property
    def live(self) -> tuple[Call, ...]:
        """Calls that are not over."""
        return tuple(self._calls.values())

    # ---- for the user

    async def calls(self) -> AsyncIterator[Call]:
        """Each new INVITE that was admitted, its 100 sent. Ends when the phone is left."""
        while (call := await self._waiting.get()) is not None:
            if call.leg is not Leg.OVER:  # the caller may have cancelled while it waited here
                yield call
        self._waiting.put_nowait(None)  # for whoever iterates beside us

    async def dial(
        self,
        target: str | Sequence[str],
        *,
        caller: str = "",
        headers: Sequence[tuple[str, str]] = (),
        credentials: Credentials | None = None,
        timeout: float = 60.0,  # ours, because the far side must then hear a CANCEL
        listen: Callable[[CallEvent], None] | None = None,
        redirect: MayFollow = same_host,
        trunk: str = "",
    ) -> Call:
        """Place a call; returns when it is answered and acknowledged. Cancelling it cancels the call.

        target: SIP URI, or several to be tried in order; each address of each is tried until one neither
        fails nor is overloaded (408 before it rang, 503). caller: URI for From, ours if empty. credentials: for
        a far side that asks who we are. listen: hears the call from its first ring on, and of a try that fails
        only its rings. redirect: whether a 3xx may send us from a URI to another; a call over a trunk that bills
        us passes what the trunk allows (trunk/outbound.py). trunk: whose codecs are offered. Credentials go to no
        other host.
        Raises CallFailed with the far side's code, 408 after `timeout` s in all; SipSyntaxError for a target that
        is no URI."""
        targets = [target] if isinstance(target, str) else list(target)
        detour = Detour(targets[0] if targets else "", caller, tuple(headers), credentials)
        return await self._dial_all(targets, detour, timeout, listen, redirect, trunk)

    async def _dial_on(self, detour: Detour, theirs: Call, listen: Callable[[CallEvent], None]) -> Call:
        return await self._dial_all([detour.target], detour, 60.0, listen, same_host, "", theirs)

    async def _dial_all(
        self,
        targets: Sequence[str],
        detour: Detour,
        timeout: float,  # noqa: ASYNC109 # as in dial
        listen: Callable[[CallEvent], None] | None,
        redirect: MayFollow,
        trunk: str,
        theirs: Call | None = None,
    ) -> Call:
        placed: list[Call] = []
        try:
            async with asyncio.timeout(timeout):
                ways = deque(Way(*way) for way in await self._ways(targets))
                course = Redirection(targets, redirect)
                hosts = {Uri.parse(target).host.lower() for target in targets}
                while ways:
                    way = ways.popleft()
                    uri = way.uri
                    attempt = Attempt(listen, way, ways[0] if ways else None, course)
                    login = self.login(detour.credentials) if Uri.parse(uri).host.lower() in hosts else None
                    call = self._place(way, detour, attempt, login, trunk, theirs)
                    placed.append(call)
                    if attempt.more and not await self._has_word(call):
                        attempt.give_up()
                        call.hang_up("no answer")
                        continue
                    await call.settled()
                    if not attempt.failed:
                        break
                    further = await self._ways(attempt.onward) if attempt.onward else []
                    ways.extendleft(Way(*onward, redirected=True) for onward in reversed(further))
        except TimeoutError:
            _give_up(placed, "no answer")
            raise CallFailed(f"{targets[0]}: not answered within {timeout:g} s", code=408) from None
        except asyncio.CancelledError:
            _give_up(placed, "cancelled")
            raise
        if call.leg is Leg.OVER and (ended := await call.ended()).code >= 300:
            raise CallFailed(f"{uri}: {ended.code} {ended.reason}".strip(), code=ended.code)
        return call

    async def request(
        self, request: Request, target: str | Sequence[str], login: Login | None = None
    ) -> Response:
        """Send a request that belongs to no call (REGISTER, OPTIONS) and wait for its final response.

        request: complete but for Via and Contact. target: SIP URI of where it goes, or several to be tried in
        order, as `dial` does. A timeout is a 408, a broken flow a 503, as if the far side had said so."""
        try:
            ways = await self._ways([target] if isinstance(target, str) else list(target))
        except CallFailed as error:
            return Response(error.code, str(error))
        return await self._asking.request(request, [flow for _, flow in ways], login, self.no_word_s)

    def login(self, credentials: Credentials | None) -> Login | None:
        """A login for one call or registration."""
        return Login(credentials, lambda: secrets.token_hex(8)) if credentials else None

    async def contact_for(self, user: str, target: str) -> str:
        """Where that user of ours can be reached by whoever is at that URI, as a Contact header value."""
        try:
            flow = (await self._locator.flows(Uri.parse(target)))[0]
        except CallFailed:
            return f"<sip:{user}@{self._endpoint.sent_by}>"
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"<sip:{user}@{self._endpoint.home(flow).sent_by}{transport}>"

    async def addresses(self, target: str) -> list[str]:
        """Every address that calls to this URI may go to, and its host's own. Raises CallFailed if there is none."""
        uri = Uri.parse(target)
        return list(dict.fromkeys(flow.remote[0] for flow in await self._locator.all_flows(uri)))

    async def _ways(self, targets: Sequence[str]) -> list[tuple[str, Flow]]:
        """Every URI with every address it stands for. Raises CallFailed if there is none at all."""
        ways: list[tuple[str, Flow]] = []
        error: CallFailed | None = None
        for target in targets:
            try:
                ways += [(target, flow) for flow in await self._locator.flows(Uri.parse(target))]
            except CallFailed as nowhere:
                error = error or CallFailed(f"{target}: {nowhere}", code=nowhere.code)
        if not ways:
            raise error or CallFailed("no target was given. Give at least one URI.", code=484)
        return ways

    def _place(
        self,
        way: Way,
        detour: Detour,
        listener: Attempt,
        login: Login | None,
        trunk: str,
        theirs: Call | None,
    ) -> Call:
        ours = f"<{detour.caller}>" if detour.caller else self._endpoint.contact_on(way.flow, way.uri)
        call, actions = Call.outgoing(self, way.uri, ours, way.flow, detour.headers, login, trunk, theirs)
        call.listen(listener)
        self._calls[call.key] = call
        self.perform(actions)
        return call

    async def _has_word(self, call: Call) -> bool:
        """Has the far side said anything in time, if only 100?"""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.no_word_s):
                await call.settled()
        return call.has_word

    # ---- the line, as a call sees it (call/line.py)

    def now(self) -> float:
        """Loop time, s."""
        return asyncio.get_running_loop().time()

    def perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the stack said."""
        self._transport.perform(actions)

    def lend(self, peer: str = "") -> PortPair:
        """A port pair that a peer at that address reaches. Raises Overloaded if none is free."""
        return next(
            (pool for pool in self._ports if (":" in pool.host) == (":" in peer)), self._ports[0]
        ).lend()

    def media(self, port: int, trunk: str = "", peer: str = "") -> LocalMedia:
        """Our side of a new session with that RTP port, as that trunk has it. A trunk with codecs of its own has
        its order in our answers as well (RFC 3264 §6.1 leaves the choice to us); others get the first they offer."""
        known = self.access.trunks.get(trunk) if self.access else None
        chosen = known.codecs if known else ()
        srtp = (known.srtp if known else None) or self._srtp
        return LocalMedia(
            self._shown.get(":" in peer) or next(iter(self._shown.values())),
            port,
            chosen or self._codecs,
            session_id=secrets.randbits(48),
            prefer_ours=bool(chosen),
            srtp=srtp,
            keys=draw_keys(secrets.token_bytes) if srtp != "off" else {},
        )

    def changed(self, leg: LegKey) -> None:
        """Whoever keeps snapshots makes another one."""
        if self.on_change is not None and (call := self._calls.get(leg)) is not None:
            self.on_change(call)

    def adopt(self, saved: Mapping[str, Any], socks: Sequence[socket.socket]) -> Call:
        """A call of a process before this one (`Call.snapshot`), with its RTP and RTCP socket; before any is heard.
        One that rang and cannot go on is over then."""
        call = Call.restore(self, saved, self._lent(socks) if socks else None)
        if call.leg is not Leg.OVER:
            self._calls[call.key] = call
        trunk = self.access.trunks.get(call.sender.trunk) if self.access else None
        if trunk is not None and call.dialog is not None:
            call.dialog.login = self.login(trunk.credentials)
        return call

    def hear_again(self, request: str, flow: Sequence[Any]) -> None:
        """A request that a process before this one has heard (`Message.text`, `Flow.dump`), as if it came now."""
        self._transport.datagram(as_bytes(request), Flow.load(flow))

    def _lent(self, socks: Sequence[socket.socket]) -> PortPair:
        rtp, rtcp = socks
        host = rtp.getsockname()[0]
        pool = next((pool for pool in self._ports if (":" in pool.host) == (":" in host)), self._ports[0])
        return pool.adopt(rtp, rtcp)

    def between(self, low: float, high: float) -> float:
        """A random wait, s."""
        return random.uniform(low, high)

    def hung_up(self, leg: LegKey) -> None:
        """The call of that leg is over."""
        self.changed(leg)
        if (call := self._calls.pop(leg, None)) is not None:
            self.moves.hung_up(call)
        self._check_goodbye()

    # ---- what the stack says

    def _hear(self, event: object) -> None:
        assert isinstance(event, sip.LegEvent)
        try:
            if isinstance(event, sip.CallCame):
                self._new_call(event)
            elif call := self._calls.get(event.leg):
                call.hear(event)
                self.changed(call.key)
            elif self.moves.hear(event) or self._asking.hear(event):
                pass
            else:
                self._hear_late(event)
        except Exception:  # the other calls go on, and whoever asked gets an answer
            log.exception("phone.call_failed", sip_call_id=event.leg[0], what=type(event).__name__)
            if isinstance(event, sip.CallCame | sip.Asked):
                transaction = event.invite if isinstance(event, sip.CallCame) else event.transaction
                self.perform(self.stack.respond(transaction, 500, self.now()))
        self._check_goodbye()

    def _new_call(self, came: sip.CallCame) -> None:
        request, source = came.invite.request, came.source.remote
        sender = came.sender
        if self.access and (trunk := self.access.trunks.get(sender.trunk)):
            came.dialog.login = self.login(trunk.credentials)
        if not self._leaving and self.moves.takes_over(came):
            return
        rejection = self._admitted(request, source, sender.trunk)
        if rejection is None and self._leaving:
            rejection = Rejection(503, "Leaving", RETRY_AFTER_S)
        if rejection is not None:
            self.counters.rejected += 1
            self.perform(
                self.stack.respond(
                    came.invite,
                    rejection.code,
                    self.now(),
                    reason=rejection.reason,
                    headers=rejection.headers,
                )
            )
            return
        call = Call.incoming(self, came, source)
        self._calls[call.key] = call
        self.changed(call.key)
        self._waiting.put_nowait(call)

    def _admitted(self, request: Request, source: tuple[str, int], trunk: str) -> Rejection | None:
        if self.admit is None:
            return None
        try:
            return self.admit(request, source, trunk)
        except Exception:  # the gate is the user's: its fault must not leave the caller waiting
            log.exception("phone.admit_failed", source=source)
            return Rejection(500)

    def _hear_late(self, event: sip.LegEvent) -> None:
        """For a call that is over: another branch of the fork may still answer, and must be hung up (RFC 3261
        §13.2.2.4)."""
        if isinstance(event, sip.Asked):
            self.perform(self.stack.respond(event.transaction, 481, self.now()))
        elif isinstance(event, sip.AckNeverCame):
            hang_up(self, event.dialog, "no ACK to our answer")
        elif isinstance(event, sip.Replied) and event.dialog is not None:
            response = event.response
            if response.cseq.method == "INVITE" and 200 <= response.status < 300:
                self.perform(self.stack.ack(event.transaction, event.dialog))
                if not event.dialog.ending:
                    hang_up(self, event.dialog, "answered elsewhere")

    # ---- leaving

    def _dismiss(self, call: Call) -> None:
        try:
            if call.direction == "inbound" and call.leg in (Leg.OFFERED, Leg.RINGING):
                goodbye = Rejection(503, "Leaving", RETRY_AFTER_S)
                call.reject(goodbye.code, goodbye.reason, goodbye.headers)
            else:
                call.hang_up("leaving")
        except Exception:  # one call's trouble must not keep the others on the line
            log.exception("phone.dismiss_failed", call=call.id)

    def _check_goodbye(self) -> None:
        if self._leaving and not self._calls and not self.stack.pending:
            self._said_goodbye.set()


def _give_up(placed: Sequence[Call], reason: str) -> None:
    """Whoever dialled waits no longer."""
    if placed:
        placed[-1].hang_up(reason)

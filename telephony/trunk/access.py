"""Who may ring: trunks by address or by password, strangers by policy, scanners and floods not at all.

Pure: sources, messages and time in, verdicts out. Driven by sip/uas.py through `Endpoint.gate`, before a word
is said to the sender. Not how many calls there may be (the switch knows its load), nor where a call goes
(dialplan/)."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from telephony.sdp.crypto import SrtpPolicy
from telephony.sip.digest import Credentials, Doorkeeper, Proof
from telephony.sip.message import Request
from telephony.sip.screening import Refusal, Vouched
from telephony.sip.transaction import Flow

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Strangers = Literal["accept", "lan", "reject", "drop"]

LAN = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
SCANNERS = (  # as they name themselves in User-Agent
    *("friendly-scanner", "friendly-request", "sipvicious", "sipcli", "sip-scan", "sipscan"),
    *("sundayddr", "iwar", "pplsip", "smap", "siparmyknife", "vaxsipuseragent", "test agent"),
)
MAX_SOURCES = 10_000  # remembered at once; the ones not heard of for longest are forgotten first
STRANGER_RATE = 5.0  # requests a second that may be refused before they are ignored instead
RETRYABLE = frozenset({404, 413, 480, 486, 500, 503, 600, 603})  # Retry-After means something (§20.33)


@dataclass(frozen=True, slots=True)
class Trunk:
    """One way in and out: a carrier, a PBX, an office.

    networks: its addresses. credentials: our name and password there, and theirs here if `asks_login`: then a
    caller must prove them, from one of the networks or, if there are none, from anywhere. trusted: what it
    says about callers is believed. codecs: in order of preference, () for the phone's own.
    contact_user: as whom we are registered there, "" if we are not. tls_name: whoever proves it by certificate
    is the trunk, wherever they call from; "" for nobody. srtp: None for the phone's own rule."""

    name: str
    networks: tuple[Network, ...] = ()
    credentials: Credentials | None = None
    asks_login: bool = False
    trusted: bool = True
    codecs: tuple[str, ...] = ()
    srtp: SrtpPolicy | None = None
    contact_user: str = ""
    tls_name: str = ""

    @property
    def vouched(self) -> Vouched:
        """What the stack is told of its callers."""
        return Vouched(self.name, self.trusted, self.contact_user)


@dataclass(frozen=True, slots=True)
class Policy:
    """How strangers and floods are treated.

    strangers: let everybody in, or those of local networks (others are refused), or refuse, or ignore.
    per_second, per_second_source: new calls, over all and from one address; 0 for any number.
    ban_s: how long scanners and flooding strangers are ignored. *_code: what a refusal says."""

    strangers: Strangers = "lan"
    scanners: tuple[str, ...] = SCANNERS
    per_second: float = 0.0
    per_second_source: float = 0.0
    ban_s: float = 600.0
    retry_after_s: int = 5
    stranger_code: int = 403
    login_code: int = 403
    flood_code: int = 503


@dataclass(slots=True)
class Counters:
    """What became of requests outside dialogs, since the start."""

    welcome: int = 0
    refused: int = 0
    challenged: int = 0
    flooding: int = 0
    ignored: int = 0
    banned: int = 0  # sources


class Bucket:
    """So many a second, and two seconds' worth at once."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._left, self._at = rate, 2 * rate, now

    def take(self, now: float) -> bool:
        """One more now; False if it is too many."""
        self._left = min(2 * self._rate, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._rate and self._left < 1.0:
            return False
        self._left -= 1.0
        return True


@dataclass(slots=True)
class _Source:
    """What is remembered of one address."""

    calls: Bucket
    refusals: Bucket
    banned_until: float = 0.0
    noted: set[str] = field(default_factory=set)


class Access:
    """The gate. notice(what, host): "banned" or "refused", the first time for a source; for the log."""

    def __init__(
        self,
        trunks: Sequence[Trunk],
        policy: Policy,
        doorkeeper: Doorkeeper,
        now: float,
        notice: Callable[[str, str], None] = lambda what, host: None,
    ) -> None:
        self.trunks = {trunk.name: trunk for trunk in trunks}
        self.policy = policy
        self.counters = Counters()
        self._doorkeeper = doorkeeper
        self._notice = notice
        self._all = Bucket(policy.per_second, now)
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._learned: dict[str, str] = {}  # address → trunk
        self._scanners = tuple(name.lower() for name in policy.scanners)

    def learn(self, trunk: str, hosts: Sequence[str]) -> None:
        """These addresses are the trunk's too: its name resolves to them now. Replaces what was learned."""
        kept = {host: name for host, name in self._learned.items() if name != trunk}
        self._learned = {**kept, **dict.fromkeys(hosts, trunk)}

    def judge(self, request: Request, flow: Flow, now: float) -> Vouched | Refusal | None:
        """Who sent this request outside any dialog, or how it is refused; None: no word in answer."""
        host = flow.remote[0]
        source = self._source(host, now)
        trunk = self._by_certificate(flow)
        if trunk is not None:
            return self._count(request, source, trunk.vouched, now)
        trunk = self._by_address(host)
        if trunk is not None and not trunk.asks_login:
            return self._count(request, source, trunk.vouched, now)
        if now < source.banned_until:
            self.counters.ignored += 1
            return None
        if self._is_scanner(request):
            self._ban(source, host, now)
            return None
        verdict = self._stranger(request, host, trunk, now)
        if isinstance(verdict, Vouched):
            return self._count(request, source, verdict, now)
        if not source.refusals.take(now):
            self._ban(source, host, now)
            return None
        if verdict is None:
            self.counters.ignored += 1
            return None
        if verdict.status != 401:
            self.counters.refused += 1
            self._note(source, "refused", host)
        return verdict

    # ---- strangers, and callers who say that they are none

    def _stranger(
        self, request: Request, host: str, trunk: Trunk | None, now: float
    ) -> Vouched | Refusal | None:
        users = self._users(trunk)
        if users and (verdict := self._log_in(request, host, users, now)) is not None:
            return verdict
        policy = self.policy
        if trunk is not None:  # its address alone is not enough
            return Refusal(policy.stranger_code)
        if self._welcomes(host):
            return Vouched()
        return None if policy.strangers == "drop" else Refusal(policy.stranger_code)

    def _users(self, trunk: Trunk | None) -> dict[str, Trunk]:
        """Who may prove a password from this address, by user name."""
        asked = [trunk] if trunk else [one for one in self.trunks.values() if not one.networks]
        return {one.credentials.user: one for one in asked if one.asks_login and one.credentials}

    def _log_in(
        self, request: Request, host: str, users: dict[str, Trunk], now: float
    ) -> Vouched | Refusal | None:
        """None: nothing was proved, and this request is not worth a question."""
        passwords = {name: one.credentials.password for name, one in users.items() if one.credentials}
        proof, user = self._doorkeeper.check(request, host, now, passwords)
        if proof is Proof.RIGHT:
            return users[user].vouched
        if proof is Proof.WRONG:
            return Refusal(self.policy.login_code)
        if request.method != "INVITE" or (self._welcomes(host) and proof is Proof.NONE):
            return None
        self.counters.challenged += 1
        return Refusal(401, self._doorkeeper.challenge(host, now, stale=proof is Proof.STALE))

    def _welcomes(self, host: str) -> bool:
        """Strangers from there need not prove anything."""
        strangers = self.policy.strangers
        return strangers == "accept" or (strangers == "lan" and _within(host, LAN))

    def _is_scanner(self, request: Request) -> bool:
        agent = (request.get("User-Agent") or "").lower()
        return any(name in agent for name in self._scanners)

    # ---- how often

    def _count(self, request: Request, source: _Source, sender: Vouched, now: float) -> Vouched | Refusal:
        if request.method == "INVITE" and not (source.calls.take(now) and self._all.take(now)):
            self.counters.flooding += 1
            code = self.policy.flood_code
            headers = (("Retry-After", str(self.policy.retry_after_s)),) if code in RETRYABLE else ()
            return Refusal(code, headers)
        self.counters.welcome += 1
        return sender

    def _source(self, host: str, now: float) -> _Source:
        source = self._sources.get(host)
        if source is None:
            calls, refusals = Bucket(self.policy.per_second_source, now), Bucket(STRANGER_RATE, now)
            source = self._sources[host] = _Source(calls, refusals)
            if len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
        self._sources.move_to_end(host)
        return source

    def _ban(self, source: _Source, host: str, now: float) -> None:
        self.counters.banned += 1
        source.banned_until = now + self.policy.ban_s
        self.counters.ignored += 1
        self._note(source, "banned", host)

    def _note(self, source: _Source, what: str, host: str) -> None:
        if what not in source.noted:
            source.noted.add(what)
            self._notice(what, host)

    # ---- addresses and names

    def _by_certificate(self, flow: Flow) -> Trunk | None:
        """The trunk that the peer's certificate names; no wildcards (RFC 5922 §7.2)."""
        if not flow.proven:
            return None
        named = (one for one in self.trunks.values() if one.tls_name and one.tls_name.lower() in flow.proven)
        return next(named, None)

    def _by_address(self, host: str) -> Trunk | None:
        """The trunk with the narrowest network around this address."""
        address = _address(host)
        if address is None:
            return None
        if (name := self._learned.get(str(address))) is not None:
            return self.trunks.get(name)
        found = [
            (network.prefixlen, trunk)
            for trunk in self.trunks.values()
            for network in trunk.networks
            if address in network
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; an IPv4 one that came through an IPv6 socket is shown as what it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _within(host: str, networks: Sequence[Network]) -> bool:
    address = _address(host)
    return address is not None and any(address in network for network in networks)

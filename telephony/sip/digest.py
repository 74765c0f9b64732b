"""Digest login: answering a challenge with a password, and asking for one (RFC 2617, RFC 7616, RFC 8760).

Pure: random words, the clock and the secret come from outside. The asking side (`Login`) is driven by uac.py,
the asked side (`Doorkeeper`) by trunk/access.py. Not who may do what: that is access.py's.
Only qop=auth: auth-int would sign the body, which every proxy that touches SDP breaks; a challenge that
offers nothing else is left unanswered, and the call hears its 401."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from telephony.errors import SipSyntaxError
from telephony.sip.headers import AuthParams
from telephony.sip.message import Request, Response
from telephony.sip.uri import Uri, unescape

ALGORITHMS = {"SHA-256": "sha256", "MD5": "md5"}  # by RFC name, best first; each also as `-sess`
NONCE_LIFE_S = 60.0
MAX_NONCES = 10_000  # whose counts are remembered; older ones are stale before their time
MAX_TRIES = 3  # credentials for one request: proxy, registrar, and one stale nonce

_ASKING = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


# ---------------------------------------------------------------- the sum


def digest(
    *,
    algorithm: str,
    user: str,
    realm: str,
    password: str,
    nonce: str,
    method: str,
    uri: str,
    qop: str = "",
    nc: str = "",
    cnonce: str = "",
) -> str:
    """The `response` that proves the password, in hex.

    algorithm: an RFC name as it stands in the challenge, "" for MD5. qop "": the old form without nc and
    cnonce. Raises KeyError for an algorithm that is not known. Source: RFC 7616 §3.4.1."""
    name = algorithm.upper() or "MD5"
    session = name.endswith("-SESS")
    kind = ALGORITHMS[name.removesuffix("-SESS")]

    def hashed(*parts: str) -> str:
        text = ":".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.new(kind, text, usedforsecurity=False).hexdigest()

    who = hashed(user, realm, password)
    if session:
        who = hashed(who, nonce, cnonce)
    what = hashed(method, uri)
    return hashed(who, nonce, nc, cnonce, qop, what) if qop else hashed(who, nonce, what)


# ---------------------------------------------------------------- being asked for a password


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and its password. realm: the only one they are given to, "" for any."""

    user: str
    password: str = field(repr=False)
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a 401 or 407 offers. qop: "auth", or "" for the form before RFC 2617."""

    status: int
    realm: str
    nonce: str
    algorithm: str
    qop: str
    opaque: str | None
    stale: bool

    @property
    def place(self) -> tuple[int, str]:
        """Who asks: the same credentials answer the same place again."""
        return self.status, self.realm

    @property
    def strength(self) -> int:
        """Higher is better."""
        names = [*reversed(ALGORITHMS)]
        return names.index(self.algorithm.upper().removesuffix("-SESS") or "MD5")


def challenges(response: Response) -> list[Challenge]:
    """The challenges of a 401 or 407 that can be answered: the strongest of each realm (RFC 8760 §2.4)."""
    best: dict[str, Challenge] = {}
    for line in response.all(_ASKING[response.status][0]) if response.status in _ASKING else []:
        try:
            offered = AuthParams.parse_many(line)
        except SipSyntaxError:
            continue
        for one in offered:
            challenge = _readable(response.status, one)
            if challenge is None:
                continue
            known = best.get(challenge.realm)
            if known is None or challenge.strength > known.strength:
                best[challenge.realm] = challenge
    return list(best.values())


def _readable(status: int, offered: AuthParams) -> Challenge | None:
    params = offered.params
    algorithm = params.get("algorithm", "")
    wanted = {word.strip().lower() for word in params.get("qop", "").split(",")} - {""}
    if (
        offered.scheme.lower() != "digest"
        or "nonce" not in params
        or algorithm.upper().removesuffix("-SESS") not in {*ALGORITHMS, ""}
        or (wanted and "auth" not in wanted)
    ):
        return None
    return Challenge(
        status=status,
        realm=params.get("realm", ""),
        nonce=params["nonce"],
        algorithm=algorithm,
        qop="auth" if wanted else "",
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
    )


@dataclass(slots=True)
class _Session:
    """A challenge that we answer, and how often its nonce was used."""

    challenge: Challenge
    used: int = 0


class Login:
    """Our name and password in one call or registration, and the nonces that its requests may use again.

    cnonce: gives a fresh random word each time."""

    def __init__(self, credentials: Credentials, cnonce: Callable[[], str]) -> None:
        self.credentials = credentials
        self._cnonce = cnonce
        self._sessions: dict[tuple[int, str], _Session] = {}

    def challenged(self, response: Response, answered: set[tuple[int, str]]) -> bool:
        """Take up the challenges of a 401 or 407. False: sending again would not help.

        answered: the places that this very request has been answered for already; grows. A second challenge
        from one of them means that the password is wrong, unless it says that only the nonce was stale."""
        wanted = self.credentials.realm
        fresh = [
            challenge
            for challenge in challenges(response)
            if (not wanted or challenge.realm == wanted)
            and (challenge.place not in answered or challenge.stale)
        ]
        for challenge in fresh:
            self._sessions[challenge.place] = _Session(challenge)
            answered.add(challenge.place)
        return bool(fresh)

    def authorize(self, request: Request) -> None:
        """Put credentials for every known challenge on a request that is about to leave; the Request-URI and
        method must be final."""
        for _, name in _ASKING.values():
            request.remove(name)
        for session in self._sessions.values():
            request.add(_ASKING[session.challenge.status][1], self._answer(session, request))

    def _answer(self, session: _Session, request: Request) -> AuthParams:
        challenge, ours = session.challenge, self.credentials
        session.used += 1
        needs_cnonce = challenge.qop or challenge.algorithm.upper().endswith("-SESS")
        nc = f"{session.used:08x}" if challenge.qop else ""
        cnonce = self._cnonce() if needs_cnonce else ""
        proof = digest(
            algorithm=challenge.algorithm,
            user=ours.user,
            realm=challenge.realm,
            password=ours.password,
            nonce=challenge.nonce,
            method=request.method,
            uri=request.uri,
            qop=challenge.qop,
            nc=nc,
            cnonce=cnonce,
        )
        params = {"username": ours.user, "realm": challenge.realm, "nonce": challenge.nonce}
        params |= {"uri": request.uri, "response": proof}
        more = {"algorithm": challenge.algorithm, "cnonce": cnonce, "qop": challenge.qop, "nc": nc}
        params |= {name: value for name, value in more.items() if value}
        if challenge.opaque is not None:
            params["opaque"] = challenge.opaque
        return AuthParams("Digest", params)


# ---------------------------------------------------------------- asking for a password


class Proof(Enum):
    """What came of looking at credentials."""

    NONE = auto()  # there are none for us
    WRONG = auto()
    STALE = auto()  # right, but with a nonce that is too old: ask again without asking the user
    RIGHT = auto()


class Doorkeeper:
    """Asks callers for a password and checks it. A nonce carries its own age and seal.

    realm: what the phone shows its user. secret: random bytes of this process; nonces of another are stale.
    life_s: how long a nonce is good for. It is bound to the address that it was given to. Within its life it
    may be used again, as phones do for their next request, with a count that grows (RFC 7616 §3.4.5): whoever
    repeats what they have overheard is asked again. Only nonces that proved a password are remembered."""

    def __init__(self, realm: str, secret: bytes, life_s: float = NONCE_LIFE_S) -> None:
        self.realm = realm
        self._secret = secret
        self._life_s = life_s
        self._given = 0
        self._counts: OrderedDict[str, int] = OrderedDict()  # by nonce, in the order of their first use
        self._forgotten_ms = -1  # nonces born until then may have been used

    def challenge(self, host: str, now: float, *, stale: bool = False) -> tuple[tuple[str, str], ...]:
        """The header lines of a 401 to that address: SHA-256 first, MD5 for those who know nothing else."""
        lines = []
        for algorithm in ALGORITHMS:
            params = {"realm": self.realm, "nonce": self._nonce(host, now), "qop": "auth"}
            params |= {"algorithm": algorithm} | ({"stale": "true"} if stale else {})
            lines.append(("WWW-Authenticate", str(AuthParams("Digest", params))))
        return tuple(lines)

    def check(
        self, request: Request, host: str, now: float, passwords: Mapping[str, str]
    ) -> tuple[Proof, str]:
        """Look at the credentials of a request from that address. passwords: by user name.

        Returns the proof and, if it is RIGHT, the user."""
        for line in request.all("Authorization"):
            try:
                params = AuthParams.parse(line).params
            except SipSyntaxError:
                continue
            if params.get("realm") == self.realm:
                proof = self._proof(params, request, host, now, passwords)
                return proof, params.get("username", "") if proof is Proof.RIGHT else ""
        return Proof.NONE, ""

    def _proof(
        self, params: Mapping[str, str], request: Request, host: str, now: float, passwords: Mapping[str, str]
    ) -> Proof:
        user, uri = params.get("username", ""), params.get("uri", "")
        password = passwords.get(user)
        algorithm = params.get("algorithm", "").upper() or "MD5"
        if algorithm not in ALGORITHMS or params.get("qop", "") != "auth" or not _same_number(uri, request):
            return Proof.WRONG
        expected = digest(
            algorithm=algorithm,
            user=user,
            realm=self.realm,
            password=password or "",
            nonce=params.get("nonce", ""),
            method=request.method,
            uri=uri,
            qop="auth",
            nc=params.get("nc", ""),
            cnonce=params.get("cnonce", ""),
        )
        same = _equal(expected, params.get("response", "").lower())
        if not same or password is None:
            return Proof.WRONG
        nonce = params.get("nonce", "")
        if self._fresh(nonce, host, now) and self._counts_up(nonce, params.get("nc", "")):
            return Proof.RIGHT
        return Proof.STALE

    def _nonce(self, host: str, now: float) -> str:
        self._given += 1  # two that are born together are still two
        born = f"{int(now * 1000):x}-{self._given:x}"
        return f"{born}.{self._seal(born, host)}"

    def _seal(self, born: str, host: str) -> str:
        return hmac.new(
            self._secret, f"{born} {host}".encode("utf-8", "surrogateescape"), "sha256"
        ).hexdigest()[:32]

    def _fresh(self, nonce: str, host: str, now: float) -> bool:
        born, _, seal = nonce.partition(".")
        if not _equal(self._seal(born, host), seal):
            return False
        return self._forgotten_ms < _born_ms(nonce) and 0 <= now - _born_ms(nonce) / 1000 <= self._life_s

    def _counts_up(self, nonce: str, nc: str) -> bool:
        """Is this use of the nonce a new one?"""
        try:
            count = int(nc, 16)
        except ValueError:
            return False
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        if len(self._counts) > MAX_NONCES:
            oldest, _ = self._counts.popitem(last=False)
            self._forgotten_ms = max(self._forgotten_ms, _born_ms(oldest))
        return True


def _born_ms(nonce: str) -> int:
    return int(nonce.partition("-")[0], 16)


def _equal(ours: str, theirs: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogateescape"))


def _same_number(uri: str, request: Request) -> bool:
    """The credentials are for the number that is called. The host may differ: proxies rewrite it."""
    try:
        return unescape(Uri.parse(uri).user) == unescape(request.target.user)
    except SipSyntaxError:
        return False

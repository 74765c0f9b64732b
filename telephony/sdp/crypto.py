"""Keys for SRTP in a session description: `a=crypto` (SDES, RFC 4568), and which of them are used.

Pure. Not the rules of offer and answer (negotiate.py), nor the encryption (media/crypto.py). Whoever can read
the description can read the call: only SIP over TLS keeps the keys from others on the way (§8.3). They are
shown in no repr and no error."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from telephony.sdp.plan import Srtp

SrtpPolicy = Literal["off", "optional", "required"]

# Suite → bytes of master key and salt (RFC 4568 §6.2, RFC 7714 §12), in the order in which we offer them.
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
OFFERED = tuple(SUITES)[:3]
PLAIN = frozenset({"RTP/AVP", "RTP/AVPF"})
SECURE = frozenset({"RTP/SAVP", "RTP/SAVPF"})

_TAG = re.compile(r"[0-9]{1,9}")
_LIFETIME = re.compile(r"2\^[0-9]{1,2}|[0-9]{1,15}")
_MKI = re.compile(r"[0-9]{1,39}:([0-9]{1,3})")
_LONGEST_MKI = 128  # RFC 4568 §9.2
_HARMLESS = re.compile(r"KDR=0|WSH=[0-9]+|-.*")  # the default, a hint, extensions that may be ignored (§6.3)


@dataclass(frozen=True, slots=True)
class Crypto:
    """One a=crypto line (§9.1). key: base64 as sent. lifetime and mki: as sent, "" if absent.

    parameters: what else they ask of the session, as sent."""

    tag: int
    suite: str
    key: str = field(repr=False)
    lifetime: str = ""
    mki: str = ""
    parameters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: str) -> Crypto | None:
        """`1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4 KDR=0`; None for what is written otherwise.

        None also for several keys in one line, which take turns within a call: nobody is known to send that."""
        words = value.split()
        if len(words) < 3 or not _TAG.fullmatch(words[0]):
            return None
        method, colon, info = words[2].partition(":")
        key, *limits = info.split("|")
        lifetime = limits.pop(0) if limits and ":" not in limits[0] else ""
        mki = limits.pop(0) if limits else ""
        sound = (
            (method.lower() == "inline" and colon and key and ";" not in info and not limits)
            and (not lifetime or _LIFETIME.fullmatch(lifetime))
            and (not mki or _MKI.fullmatch(mki))
        )
        return cls(int(words[0]), words[1].upper(), key, lifetime, mki, tuple(words[3:])) if sound else None

    def __str__(self) -> str:
        limits = "".join(f"|{limit}" for limit in (self.lifetime, self.mki) if limit)
        return " ".join((f"{self.tag} {self.suite} inline:{self.key}{limits}", *self.parameters))

    @property
    def mki_bytes(self) -> int:
        """How long the key's name is that each of their packets carries, 0 for none (RFC 3711 §3.1)."""
        found = _MKI.fullmatch(self.mki)
        return int(found[1]) if found else 0

    @property
    def usable(self) -> bool:
        """A suite that we have, a key as long as it wants, and nothing asked that we cannot do."""
        return (
            len(key_bytes(self.key)) == SUITES.get(self.suite)
            and all(_HARMLESS.fullmatch(text) for text in self.parameters)
            and (not self.mki or 0 < self.mki_bytes <= _LONGEST_MKI)
        )


def key_bytes(text: str) -> bytes:
    """Master key and salt out of their base64; b"" if it is none. Some leave the padding out."""
    try:
        return binascii.a2b_base64(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), strict_mode=True)
    except ValueError:  # binascii.Error, and characters beyond ASCII
        return b""


def draw_keys(token: Callable[[int], bytes]) -> dict[str, str]:
    """Our keys for one call, suite → base64: drawn once, so that a hold or a refresh keeps them.

    token: bytes wanted to secret random bytes, like `secrets.token_bytes`."""
    return {suite: binascii.b2a_base64(token(size), newline=False).decode() for suite, size in SUITES.items()}


def offered(keys: Mapping[str, str], standing: Srtp | None) -> list[Crypto]:
    """The lines of our offer. standing: what the call has agreed on already, which is offered again."""
    if standing is not None:
        return [Crypto(standing.tag, standing.suite, standing.send_key)]
    return [Crypto(tag, suite, keys[suite]) for tag, suite in enumerate(OFFERED, 1)]


def choose(theirs: Iterable[Crypto], keys: Mapping[str, str]) -> tuple[Crypto, Srtp] | None:
    """Their first line that we can use: our line of the answer, with the same tag, and what came of it (§5.1.2)."""
    for line in theirs:
        if line.usable:
            ours = Crypto(line.tag, line.suite, keys[line.suite])
            return ours, _joined(ours, line)
    return None


def agreed(ours: Iterable[Crypto], theirs: Iterable[Crypto]) -> Srtp | None:
    """What their answer made of our lines; None if it took none of them as offered (§5.1.3)."""
    known = {(line.tag, line.suite): line for line in ours}
    for line in theirs:
        if line.usable and (offer := known.get((line.tag, line.suite))):
            return _joined(offer, line)
    return None


def _joined(ours: Crypto, theirs: Crypto) -> Srtp:
    return Srtp(ours.suite, ours.tag, ours.key, theirs.key, theirs.mki_bytes)

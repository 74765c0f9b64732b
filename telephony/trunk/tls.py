"""Who we are and whom we believe over TLS: certificates, ours and theirs (RFC 5246, RFC 5922).

Only the contexts and the names in certificates; connections are stream.py's. Read at start, so that a wrong file
is a message then and no dropped call later, and again when a file has changed: certificates are renewed while the
server runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import structlog

from telephony.errors import SipSyntaxError, TransportError
from telephony.sip.uri import Uri

ALPN = ["sip/2", "sip"]  # the registered one (RFC 7301 §6) first

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One more certificate of ours. names: the callers who ask for one of them are shown it; `*.example.com`
    stands for any one label."""

    names: tuple[str, ...]
    certificate: Path
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS for SIP, 1.2 or newer.

    certificate, key: ours, PEM; without them we only dial. key: None if it is in the certificate's file.
    certificates: others, by the name that a caller asks for (SNI). client_ca: who signs the certificates of
    peers that call us; None asks them for none. clients: whether they may come without. verify: check the far
    side's certificate, and that it bears the name we dialled. trust: PEM of its authority; None is the system's
    list. alpn: say that we speak SIP."""

    port: int = 5061
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    clients: Literal["optional", "required"] = "required"
    verify: bool = True
    trust: Path | None = None
    certificates: tuple[Certificate, ...] = ()
    alpn: bool = False

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        own = [self.certificate, self.key, self.client_ca, self.trust]
        more = [path for one in self.certificates for path in (one.certificate, one.key)]
        return [path for path in (*own, *more) if path is not None]


class Fresh(Generic[T]):
    """What was read from files; `get` reads it again if one of them has changed, and keeps the old if the new
    cannot be read. The first reading raises what `read` raises."""

    def __init__(self, read: Callable[[], T], files: Sequence[Path]) -> None:
        self._read, self._files = read, files
        self._stamps = self._stamp()
        self._value = read()

    def get(self) -> T:
        """As the files are now."""
        if (stamps := self._stamp()) != self._stamps:
            self._stamps = stamps
            try:
                self._value = self._read()
                log.info("tls.certificates_read_again", files=[str(path) for path in self._files])
            except TransportError as error:
                log.error("tls.old_certificates_kept", error=str(error))
        return self._value

    def _stamp(self) -> list[tuple[int, int]]:
        found = []
        for path in self._files:
            try:
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_ino))
            except OSError:
                found.append((0, 0))
        return found


def answering(tls: Tls) -> ssl.SSLContext | None:
    """For connections that come in; None without a certificate. Raises TransportError."""
    if tls.certificate is None:
        return None
    contexts = Fresh(lambda: _by_name(tls), tls.files)

    def show(connection: Any, name: str | None, first: ssl.SSLContext) -> None:
        known, wanted = contexts.get(), (name or "").lower()
        wide = f"*.{wanted.partition('.')[2]}"
        connection.context = known.get(wanted) or known.get(wide) or known[""]

    context = _shown(tls, tls.certificate, tls.key)
    context.sni_callback = show
    return context


def dialling(tls: Tls) -> Fresh[ssl.SSLContext]:
    """For connections that we open; shows our certificate to who asks for one. Raises TransportError."""
    return Fresh(lambda: _dialling(tls), tls.files)


def names_in(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Whom a verified certificate names, in lower case: hosts of its DNS and SIP URI names; its common name only
    if it has neither (RFC 5922 §7.1). certificate: as ssl's getpeercert gives it, None or empty if there is none
    or it was not verified."""
    names = []
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind == "DNS":
            names.append(value.lower())
        elif kind == "URI" and (host := _sip_host(value)):
            names.append(host)
    if not names:
        subject = (certificate or {}).get("subject", ())
        names = [value.lower() for part in subject for kind, value in part if kind == "commonName"]
    return tuple(dict.fromkeys(names))


def _sip_host(text: str) -> str:
    try:
        uri = Uri.parse(text)
    except SipSyntaxError:
        return ""
    return uri.host.lower() if uri.scheme in ("sip", "sips") and not uri.user else ""


def _by_name(tls: Tls) -> dict[str, ssl.SSLContext]:
    assert tls.certificate is not None
    contexts = {"": _shown(tls, tls.certificate, tls.key)}
    for one in tls.certificates:
        contexts |= dict.fromkeys(map(str.lower, one.names), _shown(tls, one.certificate, one.key))
    return contexts


def _shown(tls: Tls, certificate: Path, key: Path | None) -> ssl.SSLContext:
    """A context that answers with this certificate."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    _show(context, certificate, key)
    if tls.client_ca is not None:
        _believe(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if tls.clients == "required" else ssl.CERT_OPTIONAL
    return context


def _dialling(tls: Tls) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.trust is None:
        context.load_default_certs()
    else:
        _believe(context, tls.trust)
    if tls.certificate is not None:
        _show(context, tls.certificate, tls.key)
    return context


def _context(kind: int, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.alpn:
        context.set_alpn_protocols(ALPN)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        # a key that wants a password must not stop the start with a question on the terminal
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except OSError as error:  # ssl.SSLError is one
        place = certificate if key is None else f"{certificate} with key {key}"
        raise TransportError(
            f"TLS certificate {place}: {error.strerror or error}. Give PEM files that belong together, the key "
            "without password."
        ) from error


def _believe(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except OSError as error:
        raise TransportError(
            f"TLS authority {authority}: {error.strerror or error}. Give a PEM file of CA certificates."
        ) from error

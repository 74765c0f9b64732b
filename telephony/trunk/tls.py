"""Who we are and whom we believe over TLS: certificates, ours and theirs (RFC 5246, RFC 5922).

Only the two contexts; connections are stream.py's. Made once at start, so that a wrong file is a message then
and no dropped call later."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from telephony.errors import TransportError


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS for SIP.

    certificate, key: ours, PEM; without them we only dial. key: None if it is in the certificate's file.
    client_ca: who signs the certificates of peers that call us; None asks them for none. clients: whether
    they may come without. verify: check the far side's certificate, and that it bears the name we dialled.
    trust: PEM of its authority; None is the system's list."""

    port: int = 5061
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    clients: Literal["optional", "required"] = "required"
    verify: bool = True
    trust: Path | None = None


def answering(tls: Tls) -> ssl.SSLContext | None:
    """For connections that come in; None without a certificate. Raises TransportError."""
    if tls.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _show(context, tls)
    if tls.client_ca is not None:
        _believe(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if tls.clients == "required" else ssl.CERT_OPTIONAL
    return context


def dialling(tls: Tls) -> ssl.SSLContext:
    """For connections that we open; shows our certificate to who asks for one. Raises TransportError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.trust is None:
        context.load_default_certs()
    else:
        _believe(context, tls.trust)
    if tls.certificate is not None:
        _show(context, tls)
    return context


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    assert tls.certificate is not None
    try:
        # a key that wants a password must not stop the start with a question on the terminal
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: b"")
    except OSError as error:  # ssl.SSLError is one
        place = tls.certificate if tls.key is None else f"{tls.certificate} with key {tls.key}"
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

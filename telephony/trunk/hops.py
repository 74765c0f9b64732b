"""Where a message goes when the connection it was meant for is gone (RFC 3261 §8.1.2, §18.2.2).

Pure. Asked by stream.py."""

from __future__ import annotations

import contextlib

from telephony.errors import SipSyntaxError
from telephony.sip.headers import Address
from telephony.sip.message import Message, Request
from telephony.sip.transaction import Flow
from telephony.sip.uri import Uri


def hop_again(message: Message, flow: Flow) -> Flow:
    """Whom to call for it: the flow's own peer if we are to open that connection anyway; for a request of ours
    its first Route, else its Request-URI; for a response the Via, `received` before the name in it.

    The source port of a connection that the peer opened is nobody's to be called at."""
    if not flow.connection:
        return flow
    with contextlib.suppress(SipSyntaxError):
        host, port = _request_hop(message) if isinstance(message, Request) else _response_hop(message)
        port = port or (5061 if flow.transport == "tls" else 5060)
        return Flow(flow.transport, (host, port), name=flow.name or host)
    return Flow(flow.transport, flow.remote)


def _request_hop(request: Request) -> tuple[str, int | None]:
    route = next(iter(request.values("Route")), None)
    uri = Address.parse(route).uri if route else None
    if uri is None or not uri.loose:  # a strict router is the Request-URI already
        uri = Uri.parse(request.uri)
    return uri.host, uri.port


def _response_hop(response: Message) -> tuple[str, int | None]:
    via = response.via
    return via.received or via.host, via.port

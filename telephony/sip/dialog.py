"""What two phones agree to remember of each other: tags, sequence numbers, route, where to reach them (RFC
3261 §12).

Pure. Born, matched and forgotten by stack.py; the call asks it for requests. Not a call: it knows no media,
and that an INVITE was answered only as far as §12 wants it. `snapshot` is plain data, for handing a call
over."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from telephony.errors import SipSyntaxError
from telephony.sip.digest import Login
from telephony.sip.headers import Address
from telephony.sip.message import Message, Request, Response
from telephony.sip.transaction import Flow
from telephony.sip.uri import Uri, sendable

PASSED_OVER = 100  # sequence numbers, of a dialog whose process is gone

DialogId = tuple[str, str, str]  # Call-ID, our tag, their tag
LegKey = tuple[str, str]  # Call-ID, our tag: one for all forks of an outgoing call


@dataclass(slots=True)
class Dialog:
    """One dialog, from our point of view.

    local, remote: the From and To lines of our requests, tags included, as they were received or sent.
    target: the URI of their Contact. routes: our Route lines, first hop first. initiator: the Call-ID is
    ours. remote_seq: None until they have sent a request. early: no 2xx yet. ending: BYE sent, only its echo
    is awaited. their_invite, our_invite: key of the INVITE transaction that is not finally answered yet, ""
    if there is none. login: how we prove who we are when they ask; None if we cannot.
    """

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    target: str
    routes: tuple[str, ...]
    contact: str
    flow: Flow
    local_seq: int
    remote_seq: int | None
    initiator: bool
    early: bool = True
    ending: bool = False
    their_invite: str = ""
    our_invite: str = ""
    login: Login | None = None

    @classmethod
    def as_uas(cls, invite: Request, local_tag: str, contact: str, flow: Flow) -> Self:
        """Their INVITE begins it (RFC 3261 §12.1.1). Raises SipSyntaxError if it has no Contact."""
        if invite.contact is None:
            raise SipSyntaxError(
                "INVITE without Contact: nobody to send BYE to. Add a Contact (RFC 3261 §8.1.1.8)."
            )
        return cls(
            call_id=invite.call_id,
            local_tag=local_tag,
            remote_tag=invite.from_tag,
            local=f"{invite.get('To')};tag={local_tag}",
            remote=invite.get("From") or "",
            target=str(invite.contact.uri),
            routes=_readable(invite.record_routes),
            contact=contact,
            flow=flow,
            local_seq=0,
            remote_seq=invite.cseq.number,
            initiator=False,
        )

    @classmethod
    def as_uac(cls, invite: Request, response: Response, contact: str, flow: Flow) -> Self:
        """A response with a To tag to our INVITE begins it (RFC 3261 §12.1.2)."""
        dialog = cls(
            call_id=invite.call_id,
            local_tag=invite.from_tag,
            remote_tag=response.to_tag,
            local=invite.get("From") or "",
            remote=response.get("To") or "",
            target=invite.uri,
            routes=_readable(response.record_routes[::-1]),
            contact=contact,
            flow=flow,
            local_seq=invite.cseq.number,
            remote_seq=None,
            initiator=True,
        )
        dialog.refresh(response)
        return dialog

    @property
    def id(self) -> DialogId:
        """Call-ID, our tag, their tag."""
        return self.call_id, self.local_tag, self.remote_tag

    @property
    def leg(self) -> LegKey:
        """Call-ID and our tag: the call this dialog belongs to."""
        return self.call_id, self.local_tag

    def confirm(self, response: Response) -> None:
        """A 2xx to our INVITE came: take its route set and Contact, and freeze the route (RFC 3261
        §13.2.2.4)."""
        if self.early:
            self.routes = _readable(response.record_routes[::-1])
        self.early = False
        self.refresh(response)

    def refresh(self, message: Message) -> None:
        """Take the Contact of a target refresh request or its 2xx as new remote target (RFC 3261 §12.2)."""
        if message.contact is not None:
            self.target = str(message.contact.uri)

    def accept(self, request: Request) -> int:
        """Check the CSeq of a request within the dialog and note it (RFC 3261 §12.2.2).

        Returns 0 if it is in order (gaps are), or the status to refuse it with: 500 if it comes late."""
        number = request.cseq.number
        if self.remote_seq is not None and number < self.remote_seq:
            return 500
        self.remote_seq = number
        return 0

    def request(
        self, method: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", content_type: str = ""
    ) -> Request:
        """Our next request along the route set, without Via; every call takes a new sequence number."""
        self.local_seq += 1
        return self._build(method, self.local_seq, headers, body, content_type)

    def ack(self, number: int, body: bytes = b"", content_type: str = "") -> Request:
        """The ACK to a 2xx: the INVITE's number, the route and target of now (RFC 3261 §13.2.2.4)."""
        return self._build("ACK", number, (), body, content_type)

    def next_flow(self) -> Flow:
        """Where our requests go: the first route, else the remote target (RFC 3261 §12.2.1.1, §8.1.2).

        Only an address is used. A host name sends us to where their last message came from: names are not
        resolved in the middle of a call, and the proxy that wrote its name there is the one that we hear
        from. A connection that they opened, or that we opened to them with no proxy on record, is used as long as it
        stands, whatever address their Contact names (RFC 5923): the transport knows."""
        if self.flow.connection or (self.flow.reliable and not self.routes):
            return self.flow
        try:
            uri = Address.parse(self.routes[0]).uri if self.routes else Uri.parse(self.target)
            host, port = uri.address
            ipaddress.ip_address(host)
        except (SipSyntaxError, ValueError):
            return self.flow
        transport = "tls" if uri.scheme == "sips" else uri.transport
        if transport not in ("udp", "tcp", "tls"):
            transport = self.flow.transport
        hop = Flow(transport, (host, port), name=self.flow.name)  # another machine of those whom we dialled
        return self.flow if hop == self.flow else hop

    def snapshot(self) -> dict[str, Any]:
        """Plain values from which `restore` makes an equal dialog; INVITEs in progress and passwords are not
        kept."""
        left_out = ("their_invite", "our_invite", "login")
        kept = {name: getattr(self, name) for name in self.__slots__ if name not in left_out}
        flow = [self.flow.transport, list(self.flow.remote), self.flow.connection]
        return {**kept, "routes": list(self.routes), "flow": flow}

    @classmethod
    def restore(cls, saved: Mapping[str, Any]) -> Self:
        """The dialog that `snapshot` described."""
        transport, (host, port), connection = saved["flow"]
        flow = Flow(transport, (host, port), connection)
        return cls(**{**saved, "routes": tuple(saved["routes"]), "flow": flow})

    def outlived(self) -> None:
        """The process that had it is gone: what it asked after its last snapshot is passed over in counting (gaps
        are in order, RFC 3261 §12.2.1.1); its connections are closed, so that we go to where their Contact says."""
        self.local_seq += PASSED_OVER
        self.flow = replace(self.flow, connection=0)
        if not self.flow.reliable or self.routes:
            return
        try:
            host, port = Uri.parse(self.target).address
            ipaddress.ip_address(host)
        except (SipSyntaxError, ValueError):
            return
        self.flow = replace(self.flow, remote=(host, port))

    def _build(
        self, method: str, number: int, headers: Sequence[tuple[str, str]], body: bytes, content_type: str
    ) -> Request:
        target, routes = self._path()
        request = Request(method, sendable(target))
        for route in routes:
            request.add("Route", route)
        request.add("Max-Forwards", "70").add("From", self.local).add("To", self.remote)
        request.add("Call-ID", self.call_id).add("CSeq", f"{number} {method}")
        if method not in ("BYE", "CANCEL"):
            request.add("Contact", self.contact)
        for name, value in headers:
            request.add(name, value)
        if body:
            request.add("Content-Type", content_type)
            request.body = body
        return request

    def _path(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route lines. A strict router (no `lr`) gets itself as Request-URI (RFC 3261
        §12.2.1.1)."""
        if not self.routes:
            return self.target, ()
        first = Address.parse(self.routes[0]).uri
        if first.loose:
            return self.target, self.routes
        return str(first), (*self.routes[1:], f"<{self.target}>")


def _readable(routes: Sequence[str]) -> tuple[str, ...]:
    """The route set unchanged, once its first hop has proved readable. Raises SipSyntaxError."""
    if routes:
        Address.parse(routes[0])
    return tuple(routes)

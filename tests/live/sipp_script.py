"""Scenarios for sipp written in Python, for races in which every message counts.

A `Script` is read downwards like a ladder diagram: what sipp sends, what it must receive, what it pretends to have
lost. `xml()` gives what sipp wants. The scenarios that only ever play one call from first to last are files in
scenarios/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

SDP = """v=0
o=sipp 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a={direction}"""

VIA = "Via: SIP/2.0/UDP [local_ip]:[local_port];rport;branch=[branch]"
OUR_TAG = ";tag=[pid]sipp[call_number]"
WAIT_MS = 10_000


class Script:
    """What sipp does on each call. Begin with `called()` or `calling()`."""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._count = 0  # sipp numbers its steps, and a branch is named after one of them
        self._invite_at = self._asked_at = 0
        self._names: set[str] = set()
        self._called = False

    # ---- sipp is phoned

    def called(self) -> Self:
        """The INVITE comes."""
        self._called = True
        return self.receive("INVITE", keep=("From", "To", "Contact"))

    def respond(
        self, method: str, status: int, *, sdp: str = "", headers: Sequence[str] = (), tag: str = OUR_TAG
    ) -> Self:
        """Answer the newest request of that method. sdp: "sendrecv" or another direction, "" for no body."""
        key = method.lower()
        from_line, to_line = (
            ("[$from]", f"[$to]{tag}") if self._called else (f"[${key}_from]", f"[${key}_to]")
        )
        lines = [
            f"SIP/2.0 {status} {'OK' if status == 200 else 'Said So'}",
            f"Via:[${key}_via]",
            f"From:{from_line}",
            f"To:{to_line}",
            "Call-ID: [call_id]",
            f"CSeq:[${key}_cseq]",
            "Contact: <sip:sipp@[local_ip]:[local_port]>",
            *headers,
        ]
        return self._send(lines, sdp)

    # ---- sipp phones

    def calling(self, *, sdp: str = "sendrecv", headers: Sequence[str] = ()) -> Self:
        """The INVITE."""
        self._invite_at = self._count
        lines = [
            "INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
            VIA,
            f"From: <sip:sipp@[local_ip]:[local_port]>{OUR_TAG}",
            "To: <sip:[service]@[remote_ip]:[remote_port]>",
            "Call-ID: [call_id]",
            "CSeq: 1 INVITE",
            "Contact: <sip:sipp@[local_ip]:[local_port]>",
            "Max-Forwards: 70",
            *headers,
        ]
        return self._send(lines, sdp)

    def calling_patiently(self) -> Self:
        """The INVITE, sent again by sipp's own timer until an answer comes; 100 and 180 may come or not."""
        self.calling()
        self._steps[-1] = self._steps[-1].replace("<send>", '<send retrans="500">')
        return self.receive(100, optional=True).receive(180, optional=True)

    def hang_up_patiently(self, number: int) -> Self:
        """BYE, sent again until its 200 comes."""
        self.ask("BYE", number)
        self._steps[-1] = self._steps[-1].replace("<send>", '<send retrans="500">')
        return self.receive(200)

    def ask_ack_of_refusal(self, number: int) -> Self:
        """ACK to the refusal of the request within the dialog that was sent last."""
        via = self._via_of(self._asked_at)
        self.ask("ACK", number)
        self._steps[-1] = self._steps[-1].replace(VIA, via)
        return self

    def cancel(self) -> Self:
        """CANCEL, with the INVITE's branch."""
        lines = [
            "CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
            self._via_of(self._invite_at),
            f"From: <sip:sipp@[local_ip]:[local_port]>{OUR_TAG}",
            "To: <sip:[service]@[remote_ip]:[remote_port]>",
            "Call-ID: [call_id]",
            "CSeq: 1 CANCEL",
            "Max-Forwards: 70",
        ]
        return self._send(lines, "")

    def acknowledge_refusal(self) -> Self:
        """ACK to a final response other than 2xx: the INVITE's own branch (RFC 3261 §17.1.1.3)."""
        lines = [
            "ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
            self._via_of(self._invite_at),
            f"From: <sip:sipp@[local_ip]:[local_port]>{OUR_TAG}",
            "To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]",
            "Call-ID: [call_id]",
            "CSeq: 1 ACK",
            "Max-Forwards: 70",
        ]
        return self._send(lines, "")

    # ---- either

    def ask(self, method: str, number: int, *, sdp: str = "", headers: Sequence[str] = ()) -> Self:
        """A request within the dialog, or the ACK to a 2xx."""
        self._asked_at = self._count
        if self._called:
            target, ours, theirs = "[$contact]", f"[$to]{OUR_TAG}", "[$from]"
        else:
            target = "[next_url]"
            ours = f" <sip:sipp@[local_ip]:[local_port]>{OUR_TAG}"
            theirs = " <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]"
        lines = [
            f"{method} {target} SIP/2.0",
            VIA,
            f"From:{ours}",
            f"To:{theirs}",
            "Call-ID: [call_id]",
            f"CSeq: {number} {method}",
            "Contact: <sip:sipp@[local_ip]:[local_port]>",
            "Max-Forwards: 70",
            *headers,
        ]
        return self._send(lines, sdp)

    def receive(self, what: str | int, *, keep: Sequence[str] = (), optional: bool = False) -> Self:
        """Wait for a request (method) or a response (status). The call has failed if something else comes."""
        self._count += 1
        skip = ' optional="true"' if optional else f' timeout="{WAIT_MS}"'
        if isinstance(what, int):
            self._steps.append(f'<recv response="{what}" rrs="true"{skip}/>')
            return self
        key = what.lower()
        self._steps.append(f'<recv request="{what}"{skip}>')
        self._steps.append("<action>")
        wanted = [("Via", f"{key}_via", ".*"), ("CSeq", f"{key}_cseq", ".*")]
        wanted += [("From", f"{key}_from", ".*"), ("To", f"{key}_to", ".*")]
        wanted += [(name, name.lower(), "sip:[^>]*" if name == "Contact" else ".*") for name in keep]
        for header, name, pattern in wanted:
            self._names.add(name)
            self._steps.append(
                f'<ereg regexp="{pattern}" search_in="hdr" header="{header}:" check_it="false"'
                f' assign_to="{name}"/>'
            )
        self._steps += ["</action>", "</recv>"]
        return self

    def lose(self, what: str | int) -> Self:
        """It arrives, and sipp acts as if it had not: the far side must send it again."""
        return self.receive(what)

    def pause(self, ms: int) -> Self:
        """Do nothing for a while; whatever comes must wait."""
        self._count += 1
        self._steps.append(f'<pause milliseconds="{ms}"/>')
        return self

    def xml(self, name: str) -> str:
        """The scenario."""
        names = ",".join(sorted(self._names))
        known = f'<Reference variables="{names}"/>' if names else ""
        body = "\n".join(self._steps)
        return f'<?xml version="1.0" encoding="UTF-8" ?>\n<scenario name="{name}">\n{body}\n{known}\n</scenario>\n'

    def _via_of(self, step: int) -> str:
        return VIA.replace("[branch]", f"[branch-{self._count - step}]")

    def _send(self, lines: list[str], sdp: str) -> Self:
        body = SDP.format(direction=sdp) if sdp else ""
        head = [*lines, "Content-Type: application/sdp", "Content-Length: [len]"] if sdp else lines
        head = head if sdp else [*head, "Content-Length: 0"]
        text = "\n".join([*head, "", body])
        self._count += 1
        self._steps.append(f"<send>\n<![CDATA[\n\n{text}\n\n]]>\n</send>")
        return self

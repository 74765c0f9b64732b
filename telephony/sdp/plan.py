"""What offer and answer agreed on: all that the media side ever learns of SDP. Pure data, JSON-safe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]


@dataclass(frozen=True, slots=True)
class Srtp:
    """The keys of an encrypted stream (RFC 4568 §6.1): they may be shown nowhere, so no repr has them.

    suite: as RFC 4568 and RFC 7714 name it. tag: of the line that was agreed on. send_key, receive_key: base64 of
    master key and salt. receive_mki_bytes: length of the key's name in each of their packets, 0 for none."""

    suite: str
    tag: int
    send_key: str = field(repr=False)
    receive_key: str = field(repr=False)
    receive_mki_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """One agreed audio stream, from our point of view.

    codec: SDP encoding name in upper case ("PCMU", "OPUS"). rate_hz: PCM rate that it gives. clock_hz: RTP clock.
    send_pt: the payload type *they* listed, for what we send. receive_pts: payload type → codec, as *we* listed.
    dtmf_send_pt / dtmf_receive_pt: telephone-event (RFC 4733), None if not agreed.
    remote: where we send, ("203.0.113.5", 4000). ptime_ms: packet length we send.
    direction: "sendonly" means that we send and they listen (they put us on hold: "recvonly"/"inactive").
    srtp: how packets are encrypted, None for plain RTP.
    """

    codec: str
    rate_hz: int
    clock_hz: int
    send_pt: int
    receive_pts: dict[int, str]
    remote: tuple[str, int]
    dtmf_send_pt: int | None = None
    dtmf_receive_pt: int | None = None
    ptime_ms: int = 20
    direction: Direction = "sendrecv"
    srtp: Srtp | None = None

    def dump(self) -> dict[str, Any]:
        """Plain values for the link to a worker, keys included: not for logs and records."""
        row = asdict(self)
        row["receive_pts"] = {str(pt): codec for pt, codec in self.receive_pts.items()}
        row["remote"] = list(self.remote)
        return row

    @classmethod
    def load(cls, row: dict[str, Any]) -> MediaPlan:
        """The plan that `dump` wrote."""
        host, port = row["remote"]
        pts = {int(pt): str(codec) for pt, codec in row["receive_pts"].items()}
        srtp = Srtp(**row["srtp"]) if row["srtp"] else None
        return cls(**{**row, "receive_pts": pts, "remote": (str(host), int(port)), "srtp": srtp})

"""What offer and answer agreed on: all that the media side ever learns of SDP. Pure data, JSON-safe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """One agreed audio stream, from our point of view.

    codec: SDP encoding name in upper case ("PCMU", "OPUS"). rate_hz: PCM rate that it gives. clock_hz: RTP clock.
    send_pt: the payload type *they* listed, for what we send. receive_pts: payload type → codec, as *we* listed.
    dtmf_send_pt / dtmf_receive_pt: telephone-event (RFC 4733), None if not agreed.
    remote: where we send, ("203.0.113.5", 4000). ptime_ms: packet length we send.
    direction: "sendonly" means that we send and they listen (they put us on hold: "recvonly"/"inactive").
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

    def dump(self) -> dict[str, Any]:
        """Plain values for the link to a worker."""
        row = asdict(self)
        row["receive_pts"] = {str(pt): codec for pt, codec in self.receive_pts.items()}
        row["remote"] = list(self.remote)
        return row

    @classmethod
    def load(cls, row: dict[str, Any]) -> MediaPlan:
        """The plan that `dump` wrote."""
        host, port = row["remote"]
        pts = {int(pt): str(codec) for pt, codec in row["receive_pts"].items()}
        return cls(**{**row, "receive_pts": pts, "remote": (str(host), int(port))})

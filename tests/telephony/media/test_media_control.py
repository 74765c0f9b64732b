"""RTCP around a call, over real loopback sockets: what may come on either port, and what must not end the call."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from telephony.media import rtcp
from telephony.media.codecs.g711 import encode_ulaw
from telephony.media.report import SourceStats
from telephony.media.stream import Stream, StreamState
from telephony.sdp.plan import MediaPlan

SOUND = encode_ulaw(np.full(160, 8000, np.int16))
HOST = "127.0.0.1"


def port_pair() -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on neighbouring ports, the even one first (RFC 3550 §11)."""
    for _ in range(200):
        first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        try:
            first.bind((HOST, 0))
            port = first.getsockname()[1]
            second.bind((HOST, port + 1 if port % 2 == 0 else -1))
        except (OSError, OverflowError):
            first.close()
            second.close()
        else:
            return first, second
    raise OSError("in 200 tries the system gave no even port with a free neighbour")


@dataclass
class Line:
    """Our stream and a phone on neighbouring ports; `now` moves by 20 ms a tick."""

    phone: socket.socket
    phone_control: socket.socket
    frames: list[int] = field(default_factory=list)
    now: float = 100.0
    sequence: int = 0

    def __post_init__(self) -> None:
        self.rtp, self.control = port_pair()
        plan = MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, self.phone.getsockname(), 101, 101)
        self.rtp_address, self.control_address = self.rtp.getsockname(), self.control.getsockname()
        self.stream = Stream(
            self.rtp,
            self.control,
            plan,
            state=StreamState(0x0FF0, 1, 1),
            ear=lambda frame, _: self.frames.append(int(np.abs(frame).max())),
            mouth=lambda _: None,
        )

    def tick(self, count: int = 1, *, talking: bool = False) -> None:
        for _ in range(count):
            if talking:
                head = struct.pack("!BBHII", 0x80, 0, self.sequence, 160 * self.sequence, 0xCA11)
                self.phone.sendto(head + SOUND, self.rtp_address)
                self.sequence = self.sequence + 1 & 0xFFFF
            self.now += 0.02
            self.stream.tick(self.now)


@pytest.fixture
def line() -> Iterator[Line]:
    phone, phone_control = port_pair()
    line = Line(phone, phone_control)
    yield line
    line.stream.close()
    phone.close()
    phone_control.close()


def farewell(ssrc: int = 0xCA11) -> bytes:
    """An empty receiver report, then BYE with a reason (RFC 3550 §6.6)."""
    reason = b"\x06hangup\0"
    return (
        struct.pack("!BBHI", 0x80, 201, 1, ssrc)
        + struct.pack("!BBHI", 0x81, 203, 1 + len(reason) // 4, ssrc)
        + reason
    )


def test_a_peer_that_closed_its_rtcp_port_keeps_its_call(line: Line) -> None:
    """Row 63: our reports to port+1 draw ICMP errors; the RTP socket and the call never notice."""
    line.phone_control.close()
    line.tick(1000, talking=True)  # 20 s, four reports
    report = line.stream.report()
    assert (report.received, report.sent, report.lost) == (1000, 1000, 0)
    assert min(line.frames[3:]) > 7000


def test_a_connected_rtcp_socket_whose_peer_is_gone_costs_only_its_reports(line: Line) -> None:
    """Row 63: there the kernel hands over ICMP as ConnectionRefusedError, on the next send or read."""
    line.control.connect(line.phone_control.getsockname())
    line.phone_control.close()
    line.tick(1000, talking=True)
    report = line.stream.report()
    assert report.receive_errors + report.send_errors > 0
    assert (report.received, report.sent) == (1000, 1000)
    assert min(line.frames[3:]) > 7000


@pytest.mark.parametrize("muxed", [False, True])
def test_an_rtcp_bye_ends_nothing(line: Line, muxed: bool) -> None:
    """Row 64, RFC 3550 §6.6: mixers and transfers send BYE for an SSRC; the call ends by SIP alone."""
    line.tick(50, talking=True)
    line.phone_control.sendto(farewell(), line.rtp_address if muxed else line.control_address)
    line.tick(50, talking=True)
    report = line.stream.report()
    assert (report.received, report.sources, report.malformed) == (100, 1, 0)
    assert min(line.frames[3:]) > 7000


def test_the_call_counts_as_silent_only_when_neither_rtp_nor_rtcp_comes(line: Line) -> None:
    """Row 64: RTP alone, RTCP alone on its own port, then neither."""
    line.tick(500, talking=True)
    assert line.stream.silent_for(line.now) == 0
    for _ in range(4):  # muted, with a report every five seconds
        line.tick(250)
        report = rtcp.Control(0xCA11).compose(line.now, 0, 1, 1, None, SourceStats())
        line.phone_control.sendto(report, line.control_address)
        line.tick()
        assert line.stream.silent_for(line.now) == 0
    line.tick(1500)
    assert line.stream.silent_for(line.now) == pytest.approx(30)


def test_noise_on_the_rtcp_port_is_not_a_sign_of_life(line: Line) -> None:
    """Row 64: a scanner's bytes must not keep a dead call up."""
    line.tick(10, talking=True)
    for noise in (
        b"",
        b"\x80",
        bytes(40),
        b"\x16\xfe\xfd" + bytes(40),
        b"\x80\xc9\xff\xff1234",
        b"OPTIONS sip:",
    ):
        line.phone_control.sendto(noise, line.control_address)
        line.tick(10)
    assert line.stream.silent_for(line.now) == pytest.approx(1.2)


@pytest.mark.parametrize("muxed", [False, True])
def test_a_stranger_s_reports_keep_no_dead_call_up(line: Line, muxed: bool) -> None:
    """Row 64: good RTCP from a host that is not the caller's is no sign of life, and nothing is learned from it."""
    line.tick(10, talking=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        for _ in range(5):
            report = rtcp.Control(0xCA11).compose(line.now, 0, 1, 1, 0x0FF0, SourceStats())
            stranger.sendto(report, line.rtp_address if muxed else line.control_address)
            line.tick(10)
        assert line.stream.silent_for(line.now) == pytest.approx(1.0)
        report_of_ours = line.stream.report()
        assert (report_of_ours.foreign, report_of_ours.remote_loss) == (5, None)
        line.tick(300)
        stranger.settimeout(0)
        with pytest.raises(BlockingIOError):
            stranger.recv(2048)  # our reports do not go there either
    line.phone_control.sendto(report, line.control_address)
    line.tick()
    assert line.stream.silent_for(line.now) == 0

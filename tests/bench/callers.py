"""Many callers in one process: a light load generator that measures what each of them hears.

    python tests/bench/callers.py --target sip:100@127.0.0.1:5060 --calls 200 --rate 20 --hold 20 \
        --clip tests/recordings/opening_hours.wav --json

Each call is one RTP socket sending 20 ms of pre-encoded PCMU on a grid of its own, spread so that the
generator is not bursty, and a few arrays of arrival times. Arrivals are stamped by the kernel, so the
generator's own lateness, which it reports, does not count against the server. Not a test and not a
softphone (tests/live/pjsip_phone.py); one plain loop, because every layer costs calls per core."""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import json
import resource
import select
import socket
import struct
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

if __package__ in (None, ""):  # run as a program
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.live.caller_sip import Invitation, Received
from tests.live.caller_talk import Clip, Plan, Talker, is_voiced
from tests.live.sound import FRAME_S, FRAME_SAMPLES, RATE_HZ

SO_TIMESTAMPNS = 35  # Linux, asm-generic/socket.h; absent from Python's socket module
_TIMESPEC = struct.Struct("@qq")
_RTP = struct.Struct("!BBHII")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
clock = time.time  # CLOCK_REALTIME, because the kernel's packet stamps are in it


class Call:
    """One call: its dialog, its RTP socket, its tallies. Driven by Callers."""

    def __init__(self, invitation: Invitation, rtp: socket.socket, talker: Talker, number: int) -> None:
        self.invitation, self.rtp, self.talker = invitation, rtp, talker
        self.sent = 0
        self.skipped = 0
        self.received = 0
        self.missing = 0
        self.first_packet_at = 0.0
        self.arrivals = array("d")
        self.transits = array("d")  # arrival minus RTP time: constant for a perfect sender
        self.spacings = array("d")
        self._packet = bytearray(12 + FRAME_SAMPLES)
        self._ssrc = 0x5EED0000 + number
        self._tick = 0
        self._next_sequence = -1
        self._ssrc_heard = -1
        self._timestamp_base = 0

    def send(self, now: float) -> None:
        """One packet, with the next 20 ms of what this caller says."""
        marker = 0x80 if self.sent == 0 else 0
        stamp = self._tick * FRAME_SAMPLES & 0xFFFFFFFF
        _RTP.pack_into(self._packet, 0, 0x80, marker, self.sent & 0xFFFF, stamp, self._ssrc)
        self._packet[12:] = self.talker.next_frame(now)
        self._tick += 1
        self.sent += 1
        try:
            self.rtp.send(self._packet)
        except (ConnectionRefusedError, BlockingIOError):
            self.skipped += 1

    def skip(self, ticks: int) -> None:
        """The generator was too late for these packets: leave them out, never send a burst."""
        self._tick += ticks
        self.skipped += ticks

    def receive(self) -> None:
        """Read everything that waits on the socket."""
        while True:
            try:
                packet, ancillary, _, _ = self.rtp.recvmsg(2048, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            if len(packet) > 12 and packet[0] >> 6 == 2:
                self._count(packet, _stamp(ancillary))

    def _count(self, packet: bytes, at: float) -> None:
        _, kind, sequence, stamp, ssrc = _RTP.unpack_from(packet)
        self.received += 1
        if ssrc != self._ssrc_heard:
            self._ssrc_heard, self._next_sequence, self._timestamp_base = ssrc, -1, stamp
            self.first_packet_at = self.first_packet_at or at
        elif sequence == self._next_sequence:
            self.spacings.append(at - self.arrivals[-1])
        else:
            missing = (sequence - self._next_sequence) & 0xFFFF
            self.missing += missing if missing < 0x8000 else 0  # otherwise late, not lost
        self._next_sequence = sequence + 1 & 0xFFFF
        self.arrivals.append(at)
        if kind & 0x7F != 0:
            return
        self.transits.append(at - ((stamp - self._timestamp_base) & 0xFFFFFFFF) / RATE_HZ)
        if is_voiced(packet[12:]):
            self.talker.voice(at)

    def lateness_s(self) -> list[float]:
        """How much later than its grid each packet came; the earliest packet of the call sets the grid."""
        earliest = min(self.transits, default=0.0)
        return [transit - earliest for transit in self.transits]


class Callers:
    """All calls of one plan on one SIP socket, as a carrier's trunk would be."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        host, _, port = plan.target.rpartition("@")[2].partition(":")
        self.sip = _udp_socket()
        self.sip.connect((host, int(port or 5060)))
        self.clips = [Clip.load(path) for path in plan.clips]
        self.calls: dict[str, Call] = {}
        self.live: dict[str, Call] = {}
        self.own_lateness = array("d")
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self._poll = select.epoll()
        self._poll.register(self.sip, select.EPOLLIN)
        self._by_descriptor: dict[int, Call] = {}
        self._phases = 0
        self._due: list[tuple[float, int, Call]] = []  # heap of (when, call number, call)

    def run(self) -> None:
        """Place the calls, hold them, hang up; returns when the last one is over."""
        gc.collect()
        gc.freeze()
        gc.disable()  # a full collection costs 40 ms; nothing here makes cycles
        started, cpu = clock(), time.process_time()
        timers_at = started
        while len(self.calls) < self.plan.calls or self.live:
            now = clock()
            if now >= timers_at:
                timers_at = now + 0.005
                self._place_calls(now, started)
                self._run_timers(now)
            self._send_due()
            next_at = min(self._due[0][0], timers_at) if self._due else timers_at
            for descriptor, _ in self._poll.poll(max(next_at - clock(), 0.0)):
                if call := self._by_descriptor.get(descriptor):
                    call.receive()
                elif descriptor == self.sip.fileno():
                    self._receive_sip()
        self.wall_s, self.cpu_s = clock() - started, time.process_time() - cpu
        self._poll.close()
        self.sip.close()
        gc.enable()

    def _place_calls(self, now: float, started: float) -> None:
        while len(self.calls) < self.plan.calls and len(self.calls) / self.plan.rate <= now - started:
            number = len(self.calls)
            rtp = _udp_socket()
            local = self.sip.getsockname()
            identity = f"caller{number}x{local[1]}x{int(started)}"
            media_port = _bound_port(rtp, local[0])
            invitation = Invitation(identity, self.plan.target, local, media_port)
            call = Call(invitation, rtp, Talker(self.plan, self.clips), number)
            self.calls[identity] = self.live[identity] = call
            self._send_sip(invitation.invite(clock()))

    def _run_timers(self, now: float) -> None:
        for call in list(self.live.values()):
            invitation = call.invitation
            if invitation.over_at:
                self._close(call)
            elif resent := invitation.resend(now):
                self._send_sip(resent)
            elif not invitation.answered_at:
                if now - invitation.invited_at > 40:
                    invitation.failure, invitation.over_at = "never answered", now
            elif now - invitation.answered_at > self.plan.hold_s:
                self._hang_up(call, now)

    def _hang_up(self, call: Call, now: float) -> None:
        if call.rtp.fileno() in self._by_descriptor:
            self._stop_media(call)
            self._send_sip(call.invitation.bye(now))

    def _close(self, call: Call) -> None:
        self._stop_media(call)
        call.rtp.close()
        del self.live[call.invitation.call_id]

    def _stop_media(self, call: Call) -> None:
        if self._by_descriptor.pop(call.rtp.fileno(), None):
            call.receive()
            self._poll.unregister(call.rtp)

    def _start_media(self, call: Call) -> None:
        assert call.invitation.remote_media is not None
        call.rtp.connect(call.invitation.remote_media)
        self._by_descriptor[call.rtp.fileno()] = call
        self._poll.register(call.rtp, select.EPOLLIN)
        number = self._phases = self._phases + 1
        phase = (number * 0.618034) % 1.0 * FRAME_S  # golden ratio: even at any number of calls
        now = clock()
        first = now - now % FRAME_S + phase
        heapq.heappush(self._due, (first if first >= now else first + FRAME_S, number, call))

    def _send_due(self) -> None:
        due = self._due
        while due and due[0][0] <= (now := clock()):
            when, number, call = due[0]
            if call.rtp.fileno() not in self._by_descriptor:
                heapq.heappop(due)
                continue
            self.own_lateness.append(now - when)
            call.send(now)
            late = int((now - when) / FRAME_S)
            if late:
                call.skip(late)
            heapq.heapreplace(due, (when + (1 + late) * FRAME_S, number, call))

    def _receive_sip(self) -> None:
        while True:
            try:
                datagram, ancillary, _, _ = self.sip.recvmsg(65535, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except ConnectionRefusedError:  # nobody there (yet): Timer B decides
                continue
            try:
                message = Received.parse(datagram)
                call = self.calls[message.call_id]
            except (ValueError, KeyError):
                continue
            had_answer = call.invitation.answered_at
            if reply := call.invitation.take(message, _stamp(ancillary)):
                self._send_sip(reply)
            if call.invitation.answered_at and not had_answer and call.invitation.remote_media:
                self._start_media(call)

    def _send_sip(self, datagram: bytes) -> None:
        # what is not sent now, the retransmission timer sends again
        with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
            self.sip.send(datagram)


def report(callers: Callers) -> dict[str, object]:
    """What all callers heard, as plain numbers; milliseconds unless the name says otherwise."""
    calls = list(callers.calls.values())
    talked = [call for call in calls if call.invitation.answered_at]
    talkers = [call.talker for call in talked]
    lateness = [late for call in talked for late in call.lateness_s()]
    return {
        "calls": len(calls),
        "answered": len(talked),
        "failures": dict(Counter(c.invitation.failure for c in calls if c.invitation.failure)),
        "hung_up_by_server": sum(call.invitation.hung_up_by_server for call in calls),
        "sip_resent": sum(call.invitation.resent for call in calls),
        "invite_to_200_ms": _spread(c.invitation.answered_at - c.invitation.invited_at for c in talked),
        "rtp": {
            "sent": sum(call.sent for call in talked),
            "received": sum(call.received for call in talked),
            "received_min_a_call": min((call.received for call in talked), default=0),
            "missing": sum(call.missing for call in talked),
            "spacing_ms": _spread(spacing for call in talked for spacing in call.spacings),
            "lateness_ms": _spread(lateness),
            "first_packet_ms": _spread(
                c.first_packet_at - c.invitation.answered_at for c in talked if c.first_packet_at
            ),
            "first_voice_ms": _spread(
                c.talker.first_voice_at - c.invitation.answered_at for c in talked if c.talker.first_voice_at
            ),
        },
        "conversation": {
            "utterances": sum(talker.utterances for talker in talkers),
            "response_ms": _spread(delay for talker in talkers for delay in talker.response_s),
            "barge_in_ms": _spread(delay for talker in talkers for delay in talker.barge_in_s),
            "unanswered": sum(talker.unanswered for talker in talkers),
            "not_interrupted": sum(talker.not_interrupted for talker in talkers),
        },
        "silenced_at": {
            call.invitation.call_id: call.talker.silenced_at for call in talked if call.talker.silenced_at
        },
        "generator": {
            "lateness_ms": _spread(callers.own_lateness),
            "skipped": sum(call.skipped for call in talked),
            "core_share": round(callers.cpu_s / max(callers.wall_s, 1e-9), 3),
        },
    }


def _spread(seconds: Iterable[float]) -> dict[str, float]:
    values = sorted(value * 1000 for value in seconds)
    if not values:
        return {"n": 0}
    last = len(values) - 1
    marks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {"n": len(values)} | {name: round(values[int(last * q)], 2) for name, q in marks.items()}


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(seconds + nanoseconds * 1e-9)
    return clock()


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


def _bound_port(sock: socket.socket, host: str) -> int:
    sock.bind((host, 0))
    return int(sock.getsockname()[1])


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def main() -> None:
    """Command line: run one plan and print its report. Exits 1 when a call failed."""
    parser = argparse.ArgumentParser(description="Place many calls and measure what each caller hears.")
    parser.add_argument("--target", required=True, help="sip:NUMBER@HOST:PORT")
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--rate", type=float, default=10.0, help="new calls a second")
    parser.add_argument("--hold", type=float, default=10.0, help="seconds from answer to BYE")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="8 kHz mono WAV; may repeat")
    parser.add_argument("--manner", choices=("polite", "interrupting", "fixed"), default="polite")
    parser.add_argument("--pause", type=float, default=0.8, help="seconds of silence before speaking")
    parser.add_argument("--barge-after", type=float, default=0.7, help="seconds of agent speech to let pass")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of indented text")
    given = parser.parse_args()
    plan = Plan(
        given.target,
        given.calls,
        given.rate,
        given.hold,
        tuple(given.clip),
        given.manner,
        given.pause,
        given.barge_after,
    )
    _allow_descriptors(given.calls + 64)
    callers = Callers(plan)
    callers.run()
    outcome = report(callers)
    print(json.dumps(outcome, indent=None if given.json else 2))
    sys.exit(1 if outcome["failures"] else 0)


if __name__ == "__main__":
    main()

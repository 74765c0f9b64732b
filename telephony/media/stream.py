"""One call's media: two sockets and a tick. Where sound enters and leaves the process.

Sequence only; the rules are in its pure neighbours (receiving.py, sending.py, rtcp.py). It owns no task:
clock.py drives it, once every 20 ms. It knows neither SIP nor what is said.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from math import nan
from typing import Final, TypeAlias

from telephony.errors import MediaError
from telephony.media.background import Background
from telephony.media.background import Source as Sound
from telephony.media.codecs import Frame
from telephony.media.counts import Counts, value
from telephony.media.crypto import Guard, Place, renewed
from telephony.media.latch import Address, Source
from telephony.media.packet import Buffer, kind_of
from telephony.media.past import CallerPast
from telephony.media.receiving import OnDigit, OnTone, Receiver
from telephony.media.recorder import Recorder
from telephony.media.report import MediaReport
from telephony.media.rtcp import Control, parse
from telephony.media.sending import Sender, Way
from telephony.media.sending_state import StreamState
from telephony.media.signals import ToneKind
from telephony.media.vitals import Left, Vitals
from telephony.sdp.plan import MediaPlan

Ear: TypeAlias = Callable[[Frame, float], None]
Mouth: TypeAlias = Callable[[float], Frame | None]

TICK_S: Final = 0.02
COUNT_EVERY: Final = 50  # ticks: so often what was counted is kept for whoever takes the call over
DATAGRAMS_A_TICK: Final = 128  # a flood may not hold up the other calls
ERRORS_A_TICK: Final = 8
_BIGGEST_BYTES: Final = 2048
_NOWHERE = ("0.0.0.0", "::")  # RFC 2543 hold

__all__ = ["Ear", "MediaReport", "Mouth", "Stream", "StreamState"]


class Stream:
    """Media of one call. ear and mouth are called on the clock, so they must be quick and must not block.

    ear(frame, now): the caller's 20 ms, every tick, silence and hold included; not to be changed.
    mouth(now): our next 20 ms, or None; not asked while digits are sent or the call is on hold.
    on_digit(digit, now): a key press began, told of by event, sound or INFO. on_tone(kind, now): a signal of a
    network or a machine is clear. The recorder, if any, is closed with the stream."""

    def __init__(
        self,
        rtp: socket.socket,
        rtcp: socket.socket | None,
        plan: MediaPlan,
        *,
        state: StreamState,
        rate_hz: int | None = None,
        ear: Ear,
        mouth: Mouth,
        on_digit: OnDigit | None = None,
        on_tone: OnTone | None = None,
        recorder: Recorder | None = None,
        mute_tones: bool = True,
        vitals: Vitals | None = None,
    ) -> None:
        """rtp, rtcp: bound UDP sockets, made non-blocking here, closed by `close`. rtcp None: no reports.

        rate_hz: of ear and mouth for the whole call, whatever codec is agreed on later; None: the plan's.
        mute_tones: neither ear nor recorder gets key presses and signals that come as sound. vitals: kept up to date;
        if another worker has driven this call before, the stream goes on where that one stopped."""
        self.state = state
        self.recorder = recorder
        self.last_sent_at: float | None = None  # loop time of the last packet
        self.last_spoken_at: float | None = None  # and of the last that the mouth gave
        self._rtp, self._rtcp = rtp, rtcp
        for sock in (rtp, rtcp):
            if sock is not None:
                sock.setblocking(False)
        self._ear, self._mouth = ear, mouth
        self._rate_hz = rate_hz or plan.rate_hz
        self._receiver = Receiver(plan, on_digit, self._rate_hz, on_tone, mute_tones)
        self._sender = Sender(plan, state, self._emit, self._rate_hz, self._claim)
        self._background = Background()
        self._murmur = Background()  # behind the background as well
        self._control = Control(state.ssrc)
        self._guard: Guard | None = None  # SRTP, None for plain RTP
        self._unauthenticated = self._replayed = 0  # of guards that are gone
        self._rtcp_source: Source | None = None
        self._last_report_at: float | None = None  # when RTCP was last heard
        self._in = bytearray(_BIGGEST_BYTES)
        self._in_view = memoryview(self._in)
        self._now = 0.0
        self._started_at: float | None = None
        self._back_at: float | None = None  # the last change of direction away from hold
        self._closed = False
        self._not_rtp = self._send_errors = self._receive_errors = self._skipped = 0
        self._vitals = vitals
        self._before = Counts()  # what workers before us counted
        self._past = CallerPast(vitals.past_sound(self._rate_hz), self._rate_hz) if vitals else None
        self._left_at = self._left_sending_at = 0.0  # when a worker before us stopped
        self._events_told = -1
        self._peer_told: tuple[Source | None, Address] | None = None
        self._plan = plan
        self._agree(plan)
        if vitals is not None and (left := vitals.read()) is not None:
            self._go_on(left)

    @property
    def past(self) -> CallerPast | None:
        """The caller's last seconds, if they are kept."""
        return self._past

    @property
    def last_heard(self) -> float | None:
        """Loop time of the caller's last good RTP packet, None before the first."""
        return self._receiver.last_heard

    @property
    def target(self) -> Address:
        """Where our sound goes now: what SDP said, or where theirs really comes from."""
        return self._receiver.latch.target

    @property
    def plan(self) -> MediaPlan:
        """What is agreed on now."""
        return self._plan

    @property
    def dialling(self) -> bool:
        """Are digits on their way out?"""
        return self._sender.dialling

    @property
    def on_hold(self) -> bool:
        """Does one side, or do both, not want to hear the other?"""
        return self._plan.direction != "sendrecv"

    def silent_for(self, now: float) -> float:
        """Seconds since RTP or RTCP of the caller was last heard; 0 while on hold, and before the first tick."""
        if self._started_at is None or self.on_hold:
            return 0.0
        heard = (self._started_at, self._back_at, self._receiver.last_heard, self._last_report_at)
        return now - max(at for at in heard if at is not None)

    def key_by_info(self, digit: str, now: float) -> None:
        """A digit that came by SIP INFO: on_digit hears of it unless the same press came by RTP too."""
        self._receiver.key(digit, "info", now)

    def tone_lasting(self, now: float) -> tuple[ToneKind, float] | None:
        """Busy or reorder tone if the caller's line gives it at this time, and for how many seconds."""
        return self._receiver.heard.lasting(now)

    def tick(self, now: float, skipped: int = 0) -> None:
        """Do 20 ms of the call. now: loop time, s. skipped: ticks before this one that did not happen."""
        if self._closed:
            return
        self._now = now
        if self._vitals is not None:
            self._vitals.act(True)
        if self._started_at is None:
            self._started_at = now
        if self._left_at:
            self._catch_up(now)
            skipped = 0
        self._drain(now)
        if skipped:
            self._skipped += skipped
            self._sender.rest(skipped)
            if self.recorder is not None:
                self.recorder.skip(skipped)
        caller = self._receiver.frame(now, skipped)
        self._ear(caller, now)
        agent = self._speak(now)
        if self.recorder is not None:
            self.recorder.frame(caller, agent)
        if self._rtcp is not None:
            self._report(self._rtcp, now)
        if self._vitals is not None and self._past is not None:
            self._past.put(caller)
            self._keep(self._vitals, self._past, now)
            self._vitals.act(False)

    def update(self, plan: MediaPlan) -> None:
        """A re-INVITE or UPDATE agreed on something else (RFC 3264 §8). Raises MediaError if impossible."""
        if self.on_hold:
            self._back_at = self._now  # whoever was silent on hold has their time from now on
        self._receiver.update(plan)
        self._sender.update(plan)
        self._agree(plan)

    def send_digits(self, digits: str, way: Way = "auto") -> None:
        """Send DTMF. digits: 0-9 A-D * #; `w`, `W` and `,` wait (dialstring.py). Raises MediaError for anything
        else, and if telephone-events are a must (way "rtp") and were not agreed on."""
        self._sender.dial(digits, way)
        if self._vitals is not None:
            self._vitals.keying(*self._sender.keys)

    def play_background(self, sound: Sound) -> None:
        """Play this while the mouth is silent, until `stop_background` or its own end."""
        self._background.play(sound)

    def stop_background(self) -> None:
        """Back to silence between words."""
        self._background.stop()

    def play_murmur(self, sound: Sound, fade_ticks: int = 1) -> None:
        """Play this while neither mouth nor background sounds, until `stop_murmur`. fade_ticks: to its full level."""
        self._murmur.play(sound, fade_ticks)

    def stop_murmur(self) -> None:
        """Back to silence, within 20 ms."""
        self._murmur.fade()

    def report(self) -> MediaReport:
        """The call's media so far, whichever workers had it."""
        return self._counts().report(self._plan, self._rate_hz, self._sender.packets)

    def close(self) -> None:
        """Close the sockets and the recording. Later ticks do nothing; a second close neither."""
        if not self._closed:
            self._closed = True
            self._rtp.close()
            if self._rtcp is not None:
                self._rtcp.close()
            if self.recorder is not None:
                self.recorder.close()
            if self._vitals is not None:
                self._vitals.count(self._counts())
            self._past = None  # it looks into the vitals, which are closed next

    def _agree(self, plan: MediaPlan) -> None:
        host, port = plan.remote
        guard = self._guard
        stays = guard is not None and plan.remote == self._plan.remote
        self._guard = renewed(guard, plan.srtp, self._place() if stays else None)
        if guard is not None and self._guard is None:
            self._unauthenticated += guard.unauthenticated
            self._replayed += guard.replayed
        self._plan = plan
        if self._vitals is not None:
            self._vitals.comfort(*self._sender.silence)
        self._sending = plan.direction in ("sendrecv", "sendonly") and host not in _NOWHERE and port > 0
        self._rtcp_source = None

    # ------------------------------------------------------------ for whoever takes the call over

    def _go_on(self, left: Left) -> None:
        """A worker before us has driven this call."""
        self._sender.go_on(left)
        self._receiver.go_on(left)
        self._control.sent = left.reports
        self._before = left.counts
        if left.theirs is not None and not left.counts.sources:  # heard within the second that is not counted
            self._before = left.counts._replace(sources=1)
        self._left_at, self._left_sending_at = left.at, left.sent_at or left.at
        if self._past is not None:
            self._past.ticks = left.past_ticks
        if self._guard is not None:
            self._guard.go_on(self._place())

    def _place(self) -> Place:
        """For SRTP, whose context cannot be read."""
        state = self._sender.state
        return Place((state.ssrc, state.wraps << 16 | state.seq), self._receiver.theirs, self._control.sent)

    def _catch_up(self, now: float) -> None:
        """The ticks between two workers: nothing was said by us, but what the caller said waits in the socket."""
        missed, since = _missed(now, self._left_at), self._left_at
        self._left_at = 0.0
        self._skipped += missed
        self._sender.rest(_missed(now, self._left_sending_at))
        for tick in range(1, missed + 1):
            at = since + tick * TICK_S
            self._drain(at, datagrams=1)
            caller = self._receiver.frame(at)
            if self._past is not None:
                self._past.put(caller)
            if self.recorder is not None:
                self.recorder.frame(caller, None)

    def _keep(self, vitals: Vitals, past: CallerPast, now: float) -> None:
        """What has changed in this tick."""
        receiver, recorder = self._receiver, self.recorder
        kept = recorder.kept if recorder is not None else None
        vitals.ticked(now, past.ticks, kept, receiver.theirs, self._control.sent)
        latch = receiver.latch
        if self._peer_told != (latch.source, latch.target):
            self._peer_told = (latch.source, latch.target)
            vitals.peer(latch.source[:2] if latch.source is not None else None, latch.target)
        if self._events_told != receiver.events:
            self._events_told = receiver.events
            vitals.heard_key(receiver.key_heard)
        if past.ticks % COUNT_EVERY == 0:
            vitals.count(self._counts())

    def _drain(self, now: float, datagrams: int = DATAGRAMS_A_TICK) -> None:
        """Read what has arrived on the RTP port."""
        receive, view = self._rtp.recvfrom_into, self._in_view
        errors = 0
        for _ in range(datagrams):
            try:
                size, source = receive(view)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error is handed over by the next read; it must not end the call
                self._receive_errors += 1
                errors += 1
                if errors > ERRORS_A_TICK:
                    return
                continue
            kind = kind_of(view, size)
            if kind == "rtp" and self._guard is not None:
                if clear := self._guard.unprotect(bytes(view[:size])):
                    self._receiver.datagram(memoryview(clear), len(clear), source, now, proven=True)
            elif kind == "rtp":
                self._receiver.datagram(view, size, source, now)
            elif kind == "rtcp":
                self._control_datagram(size, source, now, muxed=True)  # RFC 5761
            else:
                self._not_rtp += 1

    def _speak(self, now: float) -> Frame | None:
        if not self._sending:
            self._sender.rest()
            return None
        if self._sender.dialling:
            self._sender.press()
            if self._vitals is not None:
                self._vitals.keying(*self._sender.keys)
            return None
        speech = self._mouth(now)
        frame = self._murmur.under(self._background.under(speech))
        self._sender.speak(frame)
        if speech is not None:
            self.last_spoken_at = now
        return frame

    def _claim(self) -> bool:
        """May we send now? If somebody has sent in our place, in the middle of this tick perhaps, we go on behind."""
        vitals, sender = self._vitals, self._sender
        if vitals is None:
            return True
        if not vitals.claim():
            return False
        if vitals.packets_sent != sender.packets:
            state, sent_at, packets, octets = vitals.last_sent()
            sender.stood_in(state, packets, octets)
            self._now = max(self._now, sent_at)
        return True

    def _emit(self, packet: memoryview) -> None:
        """One packet, whose number is ours by `_claim`."""
        if self._vitals is not None:
            self._vitals.sending(self.state, self._now, self._sender.packets, self._sender.payload_bytes)
        try:
            data = self._guard.protect(bytes(packet)) if self._guard is not None else packet
            self._rtp.sendto(data, self._receiver.latch.target)
        except (OSError, MediaError):  # a full buffer or an ICMP error: sound that is late is worth nothing
            self._send_errors += 1
        else:
            self.last_sent_at = self._now
        finally:
            if self._vitals is not None:
                self._vitals.release()

    def _report(self, sock: socket.socket, now: float) -> None:
        """Read their reports, and send ours when it is time."""
        for _ in range(ERRORS_A_TICK):
            try:
                size, source = sock.recvfrom_into(self._in_view)
            except BlockingIOError:
                break
            except OSError:
                self._receive_errors += 1
                continue
            self._control_datagram(size, source, now)
        if not self._control.due(now):
            return
        sender, receiver = self._sender, self._receiver
        report = self._control.compose(
            now,
            self.state.timestamp,
            sender.packets,
            sender.payload_bytes,
            receiver.ssrc,
            receiver.stats,
            None
            if receiver.ssrc is None
            else self._counts().quality(self._plan.codec).metrics(receiver.ssrc),
        )
        host, port = receiver.latch.target
        if host in _NOWHERE or not 0 < port < 65535:
            return
        try:
            if self._guard is not None:
                report = self._guard.protect(report, rtcp=True)
            self._control.sent += 1
            sock.sendto(report, self._rtcp_source or (host, port + 1))
        except (OSError, MediaError):
            self._send_errors += 1

    def _counts(self) -> Counts:
        """Ours, behind those of the workers before us."""
        receiver, jitter, control, guard = self._receiver, self._receiver.jitter, self._control, self._guard
        to_ms = 1000 / self._plan.clock_hz
        trip, theirs, view = control.round_trip_s, control.remote_jitter_units, control.remote_quality
        ours = Counts(
            receiver.stats.received,
            receiver.stats.expected,
            jitter.late,
            jitter.stretched,
            jitter.duplicates,
            jitter.reordered,
            jitter.trimmed,
            receiver.concealer.concealed,
            receiver.left_out,
            receiver.malformed,
            self._unauthenticated + (guard.unauthenticated if guard else 0),
            self._replayed + (guard.replayed if guard else 0),
            self._not_rtp,
            receiver.comfort_noise,
            receiver.unknown_type,
            receiver.empty,
            receiver.foreign,
            receiver.sources,
            receiver.latch.moves,
            receiver.digits,
            receiver.tones,
            receiver.held_packets,
            self._send_errors,
            self._receive_errors,
            self._skipped,
            *receiver.delay,
            *receiver.losses.counts(),
            receiver.stats.jitter * to_ms if receiver.stats.received else nan,
            receiver.packet_units * to_ms,
            nan if trip is None else trip * 1000,
            value(control.remote_loss),
            nan if theirs is None else theirs * to_ms,
            nan if view is None else value(view.r_factor),
            nan if view is None else value(view.mos),
        )
        return self._before.and_then(ours)

    def _control_datagram(self, size: int, source: Source, now: float, *, muxed: bool = False) -> None:
        """muxed: it came on the RTP port. A stranger's reports say nothing and keep no call up: they must have the
        key, or come from the host that the caller's sound goes to or comes from."""
        packet: Buffer = self._in_view
        if self._guard is not None:
            clear = self._guard.unprotect(bytes(self._in_view[:size]), rtcp=True)
            if clear is None:
                return
            packet, size = clear, len(clear)
        try:
            reports = parse(packet, size)
        except MediaError:
            self._receiver.malformed += 1
            return
        if self._guard is None and source[0] != self._receiver.latch.target[0]:
            self._receiver.foreign += 1
            return
        if not muxed:
            self._rtcp_source = source
        self._last_report_at = now
        self._control.receive(reports, now)


def _missed(now: float, since: float) -> int:
    """Ticks that did not happen between one at `since` and one now."""
    return max(0, round((now - since) / TICK_S) - 1)

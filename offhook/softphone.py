"""Our own softphone: dials a number, speaks clips in turn, records what it hears. Behind `offhook call` and the demo.

It listens by level only: the other side is talking while frames are louder than a whisper, and done when it has
been quiet for a while. No recogniser and no agent: that is the server's side of the line."""

from __future__ import annotations

import asyncio
import secrets
import wave
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offhook.errors import OffhookError
from pipeline.speaking.resample import Resampler
from telephony.call.call import Call
from telephony.call.events import Ended
from telephony.media.address import is_numeric, looked_up
from telephony.media.clock import Clock
from telephony.media.playout import Playout
from telephony.media.ports import PortPool
from telephony.media.recorder import Recorder
from telephony.media.stream import Stream, StreamState
from telephony.phone import Phone
from telephony.sdp.crypto import SrtpPolicy
from telephony.sdp.plan import MediaPlan
from telephony.trunk.dns import NameServers
from telephony.trunk.tls import Tls

Frame = NDArray[np.int16]

TALKING_RMS = 200.0  # about -44 dBFS: above line noise, below any voice
DONE_AFTER_S = 0.8  # quiet for so long: the other side has finished talking
MIN_TALK_S = 0.1  # a click is not talk


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to do on the call: speak a clip or press keys.

    pcm: at rate_hz, which need not be the call's. over_s: do it that long after the other side began to talk, over
    its voice; None: when it has finished.
    """

    name: str
    pcm: Frame | None = None
    rate_hz: int = 8000
    keys: str = ""
    over_s: float | None = None


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call went. spoken: the lines that were delivered. heard_s: how long the other side talked."""

    answered_after_s: float
    duration_s: float
    ended_by: str
    code: int
    spoken: tuple[str, ...]
    heard_s: float
    timed_out: bool


@dataclass(slots=True)
class Ear:
    """Is the other side talking? Levels in, times out."""

    talking_since: float | None = None
    loud_at: float | None = None
    talked_s: float = 0.0

    def heard(self, frame: Frame, now: float) -> None:
        samples = frame.astype(np.float32)
        if float(np.sqrt(np.dot(samples, samples) / len(samples))) > TALKING_RMS:
            if self.talking_since is None:
                self.talking_since = now
            self.loud_at = now
            self.talked_s += 0.02

    def finished(self, now: float) -> bool:
        """It has talked since the last `again`, and is quiet now."""
        if self.talking_since is None or self.loud_at is None:
            return False
        return self.loud_at - self.talking_since >= MIN_TALK_S and now - self.loud_at >= DONE_AFTER_S

    def again(self) -> None:
        """Wait for the next thing it says."""
        self.talking_since = self.loud_at = None


class Talker(Protocol):
    """What the softphone does on the line, once every 20 ms. spoken: what it has delivered."""

    spoken: list[str]
    ear: Ear

    def hear(self, frame: Frame, now: float) -> None: ...
    def speak(self, now: float) -> Frame | None: ...


MakeTalker = Callable[[int, Callable[[str], None], Callable[[], None]], Talker]
"""Takes the call's rate in Hz, a function that presses keys, and one that hangs up."""


@dataclass(slots=True)
class Caller:
    """What the softphone does on the line; its `hear` and `speak` run on the media clock.

    linger: after the last line, wait until the other side hangs up; else only until it has finished talking.
    """

    lines: list[Line]
    playout: Playout
    press: Callable[[str], None]
    done: Callable[[], None]
    linger: bool = True
    on_line: Callable[[Line], None] = lambda _: None
    spoken: list[str] = field(default_factory=list)
    ear: Ear = field(default_factory=Ear)

    def hear(self, frame: Frame, now: float) -> None:
        """20 ms of the other side."""
        self.ear.heard(frame, now)
        if self.playout.queued:
            self.ear.again()  # what it says while we speak is not its answer
            return
        if not self.lines:
            if not self.linger and self.ear.finished(now):
                self.done()
        elif self._due(self.lines[0], now):
            self._deliver(self.lines.pop(0))

    def speak(self, now: float) -> Frame | None:
        """20 ms for the other side."""
        return self.playout.pull()

    def _due(self, line: Line, now: float) -> bool:
        if line.over_s is None:
            return self.ear.finished(now)
        return self.ear.talking_since is not None and now - self.ear.talking_since >= line.over_s

    def _deliver(self, line: Line) -> None:
        self.spoken.append(line.name)
        self.on_line(line)
        if line.pcm is not None:
            self.playout.play(at_rate(line.pcm, line.rate_hz, self.playout.rate_hz))
        if line.keys:
            self.press(line.keys)
        self.ear.again()


async def place_call(
    target: str,
    lines: Iterable[Line],
    *,
    record: Path | None = None,
    timeout_s: float = 60.0,
    linger: bool = True,
    caller: str = "",
    codecs: tuple[str, ...] = ("PCMU", "PCMA"),
    on_line: Callable[[Line], None] = lambda _: None,
    tls: Tls | None = None,
    srtp: SrtpPolicy = "optional",
    talker: MakeTalker | None = None,
) -> CallResult:
    """Dial, say the lines, hang up when they are said or the other side does. talker: does the talking instead.

    target: a SIP URI. tls: whom to believe if it is reached over TLS. record: a stereo WAV, what was heard
    left, what was said right. codecs: what is offered, best first. srtp: is the sound to be
    encrypted? Raises CallFailed when nobody answers, TelephonyError when the line cannot be opened.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    host = _our_side(target)
    ports = PortPool(host, 20000, 29998)
    async with Phone(
        host=host,
        port=0,
        ports=ports,
        codecs=codecs,
        tls=tls or Tls(),
        srtp=srtp,
        names=NameServers(),
    ) as phone:
        try:
            async with asyncio.timeout(timeout_s):
                call = await phone.dial(target, caller=caller)
        except TimeoutError as error:
            raise OffhookError(
                f"{target} did not answer within {timeout_s:g} s. Is the server running there?"
            ) from error
        answered = loop.time()
        if call.plan is None:
            raise OffhookError("the call was answered without audio. Nothing can be said on it.")
        plan = call.plan if is_numeric(call.plan) else await looked_up(call.plan)
        talk = _Talk(call, plan, list(lines), record, linger, on_line, talker)
        ended, timed_out = await talk.run(timeout_s - (answered - started))
    return CallResult(
        answered - started,
        loop.time() - answered,
        ended.by,
        ended.code,
        tuple(talk.caller.spoken),
        talk.caller.ear.talked_s,
        timed_out,
    )


class _Talk:
    """The answered call: media, script, end."""

    def __init__(
        self,
        call: Call,
        plan: MediaPlan,
        lines: list[Line],
        record: Path | None,
        linger: bool,
        on_line: Callable[[Line], None],
        talker: MakeTalker | None,
    ) -> None:
        self._call = call
        if call.rtp is None:
            raise OffhookError("the call has lost its sockets. Try again.")
        self._said_all = asyncio.Event()
        press, done = self._press, self._said_all.set
        self.caller: Talker = (
            talker(plan.rate_hz, press, done)
            if talker is not None
            else Caller(lines, Playout(plan.rate_hz), press, done, linger, on_line)
        )
        self._recorder = Recorder(record, plan.rate_hz) if record else None
        self._stream = Stream(
            call.rtp.rtp,
            call.rtp.rtcp,
            plan,
            state=StreamState(secrets.randbits(32), secrets.randbits(15), secrets.randbits(32)),
            ear=self.caller.hear,
            mouth=self.caller.speak,
            recorder=self._recorder,
            mute_tones=False,  # people listen to it
        )

    async def run(self, timeout_s: float) -> tuple[Ended, bool]:
        """Until the lines are said or the call is over."""
        clock = Clock(asyncio.get_running_loop())
        clock.add(self._stream)
        clock.start()
        ended = asyncio.ensure_future(self._call.ended())
        said = asyncio.ensure_future(self._said_all.wait())
        done, _ = await asyncio.wait(
            [ended, said], timeout=max(0.0, timeout_s), return_when="FIRST_COMPLETED"
        )
        said.cancel()
        try:
            if not ended.done():
                self._call.hang_up("done" if done else "timeout")
            return await ended, not done
        finally:
            clock.stop()
            self._stream.close()
            if self._recorder is not None:
                self._recorder.close()

    def _press(self, keys: str) -> None:
        self._stream.send_digits(keys)


def read_clip(path: Path, rate_hz: int = 8000) -> Frame:
    """A mono 16-bit WAV at any rate, as int16 samples at rate_hz. Raises OffhookError if it is something else."""
    try:
        with wave.open(str(path), "rb") as clip:
            channels, width, rate = clip.getnchannels(), clip.getsampwidth(), clip.getframerate()
            data = clip.readframes(clip.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise OffhookError(
            f"{path}: cannot be read as WAV ({error}). Give a mono 16-bit PCM file."
        ) from error
    if channels != 1 or width != 2:
        raise OffhookError(f"{path}: {channels} channels of {8 * width} bits. Give a mono 16-bit PCM file.")
    return at_rate(np.frombuffer(data, np.dtype("<i2")).astype(np.int16), rate, rate_hz)


def at_rate(pcm: Frame, from_hz: int, to_hz: int) -> Frame:
    """The same sound at another rate."""
    if from_hz == to_hz:
        return pcm
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.feed(pcm), resampler.finish()])


def _our_side(target: str) -> str:
    """The local address to call from: loopback to loopback, IPv6 to IPv6."""
    host = target.rsplit("@", 1)[-1]
    if host.startswith("["):
        return "::1" if host.startswith("[::1]") else "::"
    return "127.0.0.1" if host.startswith(("127.", "localhost")) else "0.0.0.0"

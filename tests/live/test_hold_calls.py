"""Hold in both directions, keys and recording policies: our server and our phone over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from telephony.call.call import Call
from telephony.call.events import CallEvent, MediaChanged
from telephony.media.clock import Clock
from telephony.media.codecs.g711 import decode_ulaw
from telephony.media.ports import PortPool
from telephony.media.stream import Stream, StreamState
from telephony.phone import Phone
from tests.live.holding import HOLD_S
from tests.live.server import Server, running_server

Frame = NDArray[np.int16]

PLAN = """\
version: 1
defaults:
  stt: fake
  llm: {provider: fake, reply: Yes.}
  tts: {provider: fake, ms_per_char: 40}
  hold_music: waltz.wav
  announcement: This call is recorded.
agents:
  holder:
    python: tests.live.holding:Holder
  sender:
    python: tests.live.holding:Sender
  desk:
    instructions: Answer.
    greeting: Hello.
numbers:
  - {number: any, agent: sender}
  - number: "100"
    agent: holder
  - {number: "200", agent: desk, recording: announce}
  - {number: "300", agent: desk, recording: "off"}
  - {number: "400", agent: desk}
"""
MUSIC_HZ = 330  # one long note is enough to be recognised


class Telephone:
    """A phone on the line: keeps all it hears, hums when it is told to."""

    def __init__(self, call: Call) -> None:
        assert call.rtp is not None and call.plan is not None
        self.call = call
        self.frames: list[Frame] = []
        self.digits = ""
        self.directions: list[str] = []
        self.humming = False
        at = np.arange(160) / 8000
        self._hum = (6000 * np.sin(2 * np.pi * 200 * at)).astype(np.int16)
        state = StreamState(7, 1, 0)
        self.stream = Stream(
            call.rtp.rtp,
            call.rtp.rtcp,
            call.plan,
            state=state,
            ear=self._hear,
            mouth=lambda now: self._hum if self.humming else None,
            on_digit=self._digit,
            mute_tones=False,  # the fake voice is one
        )
        call.listen(self._signalled)

    def _hear(self, frame: Frame, now: float) -> None:
        self.frames.append(frame)

    def _digit(self, digit: str, now: float) -> None:
        self.digits += digit

    def _signalled(self, event: CallEvent) -> None:
        if isinstance(event, MediaChanged):
            self.directions.append(event.plan.direction)
            self.stream.update(event.plan)

    def heard_hz(self, start: int, end: int) -> float:
        """The strongest frequency between two ticks."""
        sound = np.concatenate(self.frames[start:end])
        return float(np.argmax(np.abs(np.fft.rfft(sound)))) * 8000 / len(sound)


@asynccontextmanager
async def line(server: Server, number: str) -> AsyncIterator[Telephone]:
    """Our phone in a call with the server."""
    async with (
        asyncio.timeout(40),
        Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 31000, 31098)) as phone,
    ):
        call = await phone.dial(server.uri(number))
        telephone = Telephone(call)
        clock = Clock(asyncio.get_running_loop())
        clock.add(telephone.stream)
        clock.start()
        try:
            yield telephone
        finally:
            call.hang_up()
            await call.ended()
            clock.stop()
            telephone.stream.close()


class CarrierSide:
    """A caller written out by hand, for our own phone declines REFER at once. It reads, too."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._sip, self._rtp = _bound(), _bound()
        self._to = f"<sip:900@127.0.0.1:{server_port}>"
        self._count = 0
        here = "o=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        self.offer = f"v=0\r\n{here}m=audio {self._rtp.getsockname()[1]} RTP/AVP 0\r\n"

    def close(self) -> None:
        self._sip.close()
        self._rtp.close()

    def send(self, method: str, number: int, *lines: str, body: str = "") -> None:
        self._count += 1
        port = self._sip.getsockname()[1]
        head = [
            f"{method} sip:900@127.0.0.1:{self._server_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKhold{self._count};rport",
            f"From: <sip:far@127.0.0.1>;tag=f1\r\nTo: {self._to}\r\nCall-ID: hold-by-hand",
            f"CSeq: {number} {method}\r\nContact: <sip:far@127.0.0.1:{port}>\r\nMax-Forwards: 70",
            *lines,
            f"Content-Length: {len(body)}",
        ]
        self._out("\r\n".join(head) + "\r\n\r\n" + body)

    def answer(self, request: str, status: str, body: str = "") -> None:
        """With the lines of the request that every response repeats. body: SDP."""
        kept = [
            line
            for line in request.split("\r\n")
            if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))
        ]
        contact = f"Contact: <sip:far@127.0.0.1:{self._sip.getsockname()[1]}>"
        kept += [contact, *(["Content-Type: application/sdp"] if body else [])]
        self._out("\r\n".join([f"SIP/2.0 {status}", *kept, f"Content-Length: {len(body)}", "", body]))

    async def request(self, method: str) -> str:
        return await self._next(lambda text: text.startswith(f"{method} "))

    async def response(self, status: int) -> None:
        text = await self._next(lambda text: text.startswith(f"SIP/2.0 {status}"))
        self._to = next(line for line in text.split("\r\n") if line.startswith("To:"))[3:].strip()

    async def sound(self, seconds: float) -> Frame:
        """What comes by RTP from now on, PCMU, decoded."""
        loop, frames = asyncio.get_running_loop(), []
        with contextlib.suppress(BlockingIOError):
            while True:  # what piled up before is old
                self._rtp.recv(2048)
        until = loop.time() + seconds
        while loop.time() < until:
            frames.append(decode_ulaw((await loop.sock_recv(self._rtp, 2048))[12:]))
        return np.concatenate(frames)

    def _out(self, text: str) -> None:
        self._sip.sendto(text.encode(), ("127.0.0.1", self._server_port))

    async def _next(self, wanted: Callable[[str], bool]) -> str:
        while not wanted(text := (await asyncio.get_running_loop().sock_recv(self._sip, 65536)).decode()):
            pass
        return text


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def waltzing_server(folder: Path, media_timeout_s: int = 1) -> AsyncIterator[Server]:
    with wave.open(str(folder / "waltz.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44100)
        at = np.arange(44100) / 44100
        file.writeframes((9000 * np.sin(2 * np.pi * MUSIC_HZ * at)).astype("<i2").tobytes())
    (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
    async with running_server(
        folder,
        spares=0,
        dialplan=folder / "plan.yaml",
        workers=1,
        settings=f"media_timeout_s: {media_timeout_s}\nproviders: {{vad: fake}}\n",
    ) as server:
        yield server


def stereo(path: Path) -> Frame:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


async def test_a_caller_on_hold_hears_the_plans_music_and_then_the_agent_again(tmp_path: Path) -> None:
    """Row 46 from our side, with row 58 behind it: sendonly and music, sendrecv and the voice, then keys."""
    async with waltzing_server(tmp_path) as server:
        async with line(server, "100") as telephone:
            record = await server.last_call()
            await server.until(lambda: bool(record.of("RecordingResumed")), "the end of the story", 20)
        facts = await server.finished(record)
    (held,), (resumed,) = record.of("CallHeld"), record.of("CallResumed")
    assert (held["by"], resumed["by"]) == ("agent", "agent")
    assert telephone.directions == ["recvonly", "sendrecv"]
    assert resumed["at"] - held["at"] > HOLD_S - 0.1
    loud = [bool(np.abs(frame.astype(int)).max() > 5000) for frame in telephone.frames]
    begins = next(at for at in range(len(loud)) if all(loud[at : at + 100]))
    assert abs(telephone.heard_hz(begins + 10, begins + 100) - MUSIC_HZ) < 2
    assert telephone.digits == "42#"
    assert [event["pii_digits"] for event in record.of("DigitsSent")] == ["4w2#"]
    assert facts["recording"] == "on"
    sound = stereo(record.audio)
    assert len(sound) / 8000 >= facts["duration_s"] - 0.3
    (paused,), (again,) = record.of("RecordingPaused"), record.of("RecordingResumed")
    assert again["at"] - paused["at"] > 0.4
    left = np.abs(sound[:, 1].astype(int)).reshape(-1, 160).max(axis=1)
    music = next(at for at in range(len(left)) if (left[at : at + 100] > 5000).all())
    talk_ticks = round((resumed["at"] - held["at"]) * 50)
    assert not left[music + talk_ticks + 10 :].any(), (
        "the keys and what was said in the pause are not on disk"
    )


async def test_a_caller_who_holds_us_is_neither_listened_to_nor_timed_out(tmp_path: Path) -> None:
    """Row 46 from their side: a second of media timeout, two of hold without a packet; then the talk goes on."""
    async with waltzing_server(tmp_path) as server:
        async with line(server, "400") as telephone:
            record = await server.last_call()
            await server.until(lambda: bool(record.of("AgentSpoke")), "the greeting", 10)
            await telephone.call.hold()
            await server.until(lambda: bool(record.of("CallHeld")), "hold", 5)
            telephone.humming = True  # their music, for half of the time; then nothing at all
            await asyncio.sleep(1.0)
            telephone.humming = False
            assert telephone.call.plan is not None
            telephone.stream.update(replace(telephone.call.plan, direction="inactive"))  # it sends nothing
            await asyncio.sleep(3.5)  # beyond what closes the recogniser, and far beyond the timeout
            await telephone.call.resume()
            await server.until(lambda: bool(record.of("CallResumed")), "resume", 5)
            heard_before = len(record.of("CallerStartedSpeaking"))
            telephone.humming = True
            await asyncio.sleep(1.0)
            telephone.humming = False
            await server.until(lambda: len(record.of("AgentSpoke")) >= 2, "an answer", 10)
        facts = await server.finished(record)
    assert heard_before == 0, record.story()
    assert len(record.of("UserTurnCommitted")) == 1
    assert [event["by"] for event in record.of("CallHeld")] == ["caller"]
    assert record.of("ProviderFailed") == []
    assert facts["cause"] == "caller_hung_up"


async def test_recording_begins_after_its_announcement_or_not_at_all(tmp_path: Path) -> None:
    """Consent first: not a sample of the caller before it; and `off` leaves no file."""
    async with waltzing_server(tmp_path) as server:
        async with line(server, "200") as telephone:
            telephone.humming = True
            record = await server.last_call()
            await server.until(lambda: bool(record.of("RecordingStarted")), "the recording", 10)
            await asyncio.sleep(0.6)
        facts = await server.finished(record)
        async with line(server, "300"):
            await server.until(lambda: len(server.calls()) == 2, "the second call", 10)
            silent = await server.last_call()
            await server.until(lambda: bool(silent.of("AgentSpoke")), "the greeting", 10)
        off = await server.finished(silent)
    assert (facts["recording"], off["recording"]) == ("announce", "off")
    assert not silent.audio.exists()
    (started,), (answered,) = record.of("RecordingStarted"), record.of("CallAnswered")
    assert record.of("AgentSpoke")[0]["text"] == "This call is recorded."
    first = int(np.flatnonzero(stereo(record.audio).any(axis=1))[0]) / 8000
    assert abs(first - (started["at"] - answered["at"])) < 0.15


async def test_music_fills_the_wait_for_a_transfer_and_ends_when_it_fails(tmp_path: Path) -> None:
    """RFC 3515: between REFER and the NOTIFY that says 486 the caller hears music, then the agent again."""
    async with waltzing_server(tmp_path, media_timeout_s=30) as server, asyncio.timeout(40):
        far = CarrierSide(server.sip_port)
        try:
            far.send("INVITE", 1, "Content-Type: application/sdp", body=far.offer)
            await far.response(200)
            far.send("ACK", 1)
            refer = await far.request("REFER")
            far.answer(refer, "202 Accepted")
            music = await far.sound(1.5)
            status = ("Event: refer", "Subscription-State: terminated;reason=noresource")
            far.send("NOTIFY", 2, *status, "Content-Type: message/sipfrag", body="SIP/2.0 486 Busy Here\r\n")
            record = await server.last_call()
            await server.until(lambda: len(record.of("AgentSpoke")) == 2, "the agent's words", 10)
            await far.sound(0.1)
            silence = await far.sound(0.3)
            far.send("BYE", 3)
            await server.finished(record)
        finally:
            far.close()
    late = music[4000:]
    assert abs(float(np.argmax(np.abs(np.fft.rfft(late)))) * 8000 / len(late) - MUSIC_HZ) < 2
    assert np.abs(silence.astype(int)).max() < 50
    assert record.of("TransferFinished")[0]["code"] == 486
    assert record.of("CallHeld") == []


THINKER = """\
version: 1
defaults:
  stt: fake
  llm: {{provider: fake, reply: Yes I do think so., delay_s: 2.5}}
  tts: {{provider: fake, ms_per_char: 40}}
agents:
  thinker:
    instructions: Answer.
    thinking_sound: {{sound: "{sound}", after_ms: 500, level_db: -20}}
    fillers: []
numbers:
  - {{number: any, agent: thinker}}
"""


async def test_a_caller_hears_that_the_agent_thinks_and_then_the_answer_alone(tmp_path: Path) -> None:
    """Asked by key: half a second of silence, the plan's sound, and none of it left beside the voice."""
    async with waltzing_server(tmp_path) as server:
        pass  # for its WAV file
    sound = tmp_path / "waltz.wav"
    (tmp_path / "plan.yaml").write_text(THINKER.format(sound=sound), encoding="utf-8")
    settings = "providers: {vad: fake}\n"
    async with (
        running_server(
            tmp_path, spares=0, dialplan=tmp_path / "plan.yaml", workers=1, settings=settings
        ) as server,
        line(server, "100") as telephone,
    ):
        telephone.stream.send_digits("1#")
        record = await server.last_call()
        await server.until(lambda: bool(record.of("UserTurnCommitted")), "the turn", 10)
        asked = len(telephone.frames)
        await server.until(lambda: bool(record.of("AgentStartedSpeaking")), "the answer", 10)
        began = len(telephone.frames)
        await server.until(lambda: bool(record.of("AgentSpoke")), "its end", 10)
    story = record.story()
    loud = [float(np.abs(frame.astype(int)).max()) for frame in telephone.frames]
    assert max(loud[asked + 3 : asked + 15]) < 50, story
    assert abs(telephone.heard_hz(asked + 60, asked + 110) - MUSIC_HZ) < 2, story
    assert max(loud[asked + 60 : asked + 110]) == pytest.approx(3276.7, rel=0.05), "20 dB below full scale"
    assert abs(telephone.heard_hz(began + 5, began + 25) - 440) < 25, "the voice alone"
    (spoke,) = record.of("AgentSpoke")
    assert (spoke["text"], spoke["heard_ms"]) == ("Yes I do think so.", 720), (
        "no sound but its own counts as heard"
    )

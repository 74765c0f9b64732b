"""A PJSIP softphone in its own process: JSON commands in on stdin, JSON events out on stdout.

Run as `python tests/live/pjsip_phone.py`; tests drive it through `peers.PjsipPhone`. Its own process, so
that a crash in C, or the wheel's limit of four calls, cannot hurt the test. Everything happens in the
main thread: PJSIP without worker threads, its events and the commands handled in one loop."""

from __future__ import annotations

import json
import os
import re
import select
import time
from collections.abc import Iterator
from typing import Any

EVENTS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # PJSIP prints its log to stdout; events must not mix with it

import pjsua2 as pj  # noqa: E402

POLL_MS = 5
VOICE_LEVEL = 8  # PJSIP's 0 to 127, logarithmic; speech is 15 to 32, silence 0 to 2
RTP_EVENTS = pj.PJSUA_DTMF_METHOD_RFC2833
TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
TIMERS = {
    "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
    "required": pj.PJSUA_SIP_TIMER_REQUIRED,
}
TOLD_OF = ("Session-Expires", "Min-SE", "Require", "Supported", "Allow")  # of a message that came in
SRTP = {
    "off": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "required": pj.PJMEDIA_SRTP_MANDATORY,
}
STATES = {
    pj.PJSIP_INV_STATE_CALLING: "calling",
    pj.PJSIP_INV_STATE_INCOMING: "incoming",
    pj.PJSIP_INV_STATE_EARLY: "early",
    pj.PJSIP_INV_STATE_CONNECTING: "connecting",
    pj.PJSIP_INV_STATE_CONFIRMED: "confirmed",
    pj.PJSIP_INV_STATE_DISCONNECTED: "disconnected",
}


def tell(event: str, **facts: object) -> None:
    """Write one event as one line of JSON."""
    EVENTS.write(json.dumps({"event": event, **facts}) + "\n")


class Ear:
    """Tells when the other side starts and stops being audible, from the level of what is heard.

    Events: `voice` with `seconds` 0 at the onset and then every full second it goes on; `silence` when
    nothing was audible for `quiet_s` after a voice."""

    def __init__(self, number: int, quiet_s: float) -> None:
        self.number, self.quiet_s = number, quiet_s
        self._since: float | None = None
        self._last = 0.0
        self._told_s = -1

    def hear(self, level: int, now: float) -> None:
        """Take one level measurement. now: any clock in s that only grows."""
        if level >= VOICE_LEVEL:
            if self._since is None:
                self._since, self._told_s = now, -1
            self._last = now
            if int(now - self._since) > self._told_s:
                self._told_s = int(now - self._since)
                tell("voice", call=self.number, seconds=self._told_s)
        elif self._since is not None and now - self._last > self.quiet_s:
            tell("silence", call=self.number, voice_s=round(self._last - self._since, 2))
            self._since = None


class Speaker(pj.AudioMediaPlayer):  # type: ignore[misc]  # pjsua2 has no types
    """Plays one WAV into the call, once, and says so when it has."""

    def __init__(self, path: str, call: PhoneCall) -> None:
        super().__init__()
        self.path, self.call, self.done = path, call, False
        self.createPlayer(path, pj.PJMEDIA_FILE_NO_LOOP)

    def onEof2(self) -> None:  # noqa: N802  # PJSIP's name
        """The last sample went into the bridge. Freed later: PJSIP is still inside the player here."""
        if not self.done:
            self.done = True
            tell("said", call=self.call.number, path=self.path)


class PhoneCall(pj.Call):  # type: ignore[misc]
    """One call with what is said into it and recorded from it."""

    def __init__(self, phone: Phone, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone.account, call_id)
        self.phone = phone
        self.number = phone.next_number()
        self.speakers: list[Speaker] = []
        self.recorder: Any = None
        self.ear = Ear(self.number, phone.quiet_s)
        self.cancel_at = 0

    def onCallState(self, _prm: Any) -> None:  # noqa: N802
        """Report the dialog's state with the SIP code that caused it."""
        info = self.getInfo()
        state = STATES.get(info.state, str(info.state))
        if state == "disconnected":
            self.stop_sound()
            self.phone.calls.pop(self.number, None)
            self.phone.finished.append(self)  # freed outside of its own callback
        tell(state, call=self.number, code=info.lastStatusCode, reason=info.lastReason, remote=info.remoteUri)
        if state == "early" and info.lastStatusCode == self.cancel_at:
            self.hangup(pj.CallOpParam())

    def onCallMediaState(self, _prm: Any) -> None:  # noqa: N802
        """Connect microphone (silence), loudspeaker (nobody) and recorder as soon as audio flows."""
        media = self.audio()
        tell("media" if media is not None else "media_off", call=self.number)
        if media is None:
            return
        devices = self.phone.endpoint.audDevManager()
        devices.getCaptureDevMedia().startTransmit(media)
        media.startTransmit(devices.getPlaybackDevMedia())  # levels are measured only when somebody listens
        if self.phone.record_to and self.recorder is None:
            self.record(self.phone.record_to)
        elif self.recorder is not None:
            media.startTransmit(self.recorder)

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        """A digit came by RTP event (RFC 4733) or by INFO."""
        method = "rtp" if prm.method == RTP_EVENTS else "info"
        tell("dtmf", call=self.number, digit=prm.digit, method=method, duration=prm.duration)

    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802
        """A response to what this phone asked, or a request within the call: told as it came in."""
        body = prm.e.body.tsxState
        if body.type != pj.PJSIP_EVENT_RX_MSG:
            return
        status = re.match(r"SIP/2\.0 (\d+)", message := body.src.rdata.wholeMsg)
        lines = [line.partition(":") for line in message.partition("\r\n\r\n")[0].split("\r\n")[1:]]
        headers = {name: value.strip() for name, _, value in lines if name in TOLD_OF}
        facts = {"call": self.number, "method": body.tsx.method, "headers": headers}
        if status is not None:
            tell("response", code=int(status[1]), **facts)
        else:
            tell("request", code=0, **facts)

    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802
        """REFER: follow it with a new call (RFC 3515); its states come as events of that call's number."""
        following = PhoneCall(self.phone)
        prm.newCall = following
        self.phone.calls[following.number] = following
        tell("transfer", call=self.number, to=prm.dstUri, followed_by=following.number)

    def onCallReplaced(self, prm: Any) -> None:  # noqa: N802
        """An INVITE with Replaces took this call's place (RFC 3891): go on in the new one."""
        following = PhoneCall(self.phone, prm.newCallId)
        prm.newCall = following
        self.phone.calls[following.number] = following
        tell("replaced", call=self.number, followed_by=following.number)

    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
        """Progress of a transfer this phone asked for, from the NOTIFYs."""
        tell("transfer_status", call=self.number, code=prm.statusCode, final=prm.finalNotify)

    def audio(self) -> Any:
        """The call's active audio port, or None while there is none."""
        info = self.getInfo()  # must outlive its media list, which lives in C++
        for index, media in enumerate(info.media):
            active = media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
            if media.type == pj.PJMEDIA_TYPE_AUDIO and active:
                return self.getAudioMedia(index)
        return None

    def say(self, path: str) -> None:
        """Play a WAV into the call beside what is playing already."""
        media = self.audio()
        if media is None:
            raise RuntimeError("the call has no active audio yet; wait for the media event")
        speaker = Speaker(path, self)
        self.speakers.append(speaker)
        speaker.startTransmit(media)

    def record(self, path: str) -> None:
        """Write what is heard from now on to a WAV; complete when the phone has ended."""
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(path)
        media = self.audio()
        if media is not None:
            media.startTransmit(self.recorder)

    def stop_sound(self) -> None:
        """Let go of the files; PJSIP closes them from its own clock thread."""
        self.speakers.clear()
        self.recorder = None

    def statistics(self) -> dict[str, int]:
        """RTP packets both ways, as this side's RTCP counts them (RFC 3550 §6.4)."""
        stream = self.getStreamStat(0)  # owns rtcp
        rtcp = stream.rtcp
        sent, got = rtcp.txStat, rtcp.rxStat
        return {"sent": sent.pkt, "received": got.pkt, "lost": got.loss, "reordered": got.reorder}


class Line(pj.Account):  # type: ignore[misc]
    """The phone's only account, without registration."""

    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self.phone = phone

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        """Ring, then do as `start` was told: answer, refuse with a code, or wait for `answer`."""
        call = PhoneCall(self.phone, prm.callId)
        self.phone.calls[call.number] = call
        tell("incoming", call=call.number, remote=call.getInfo().remoteUri)
        if self.phone.answer_with < 300:
            call.answer(_operation(180))
        if self.phone.answer_with:
            call.answer(_operation(self.phone.answer_with))


class Phone:
    """The endpoint and its calls. A command without `call` means the newest call."""

    def __init__(self) -> None:
        self.endpoint: Any = pj.Endpoint()
        self.account = Line(self)
        self.calls: dict[int, PhoneCall] = {}
        self.finished: list[PhoneCall] = []
        self.answer_with = 0
        self.record_to = ""
        self.quiet_s = 1.2
        self._count = 0
        self._running = True

    def next_number(self) -> int:
        """Calls are numbered from 1 as they come."""
        self._count += 1
        return self._count

    def start(
        self,
        *,
        answer_with: int = 0,
        record: str = "",
        quiet_s: float = 1.2,
        log_level: int = 0,
        codecs: list[str],
        transport: str = "udp",
        trust: str = "",
        prack: bool = False,
        srtp: str = "off",
        timer_s: int = 0,
    ) -> None:
        """Bind a free port of 127.0.0.1 and tell the phone's URI. answer_with: 0, 200 or a refusal.

        codecs: what is offered, best first, as PJSIP writes them: `G722/16000/1`. transport: udp, tcp or tls.
        trust: PEM of the authority that far sides over TLS must have, "" for any. prack: 100rel is required.
        srtp: off, optional or required, with keys from SDP over any transport. timer_s: a session timer of so
        long is required, at least 90, which is then also the least that is taken; 0: the usual, optional one."""
        self.answer_with, self.record_to, self.quiet_s = answer_with, record, quiet_s
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = 4
        config.medConfig.threadCnt = 0
        config.medConfig.hasIoqueue = False  # RTP is read in our loop too
        config.medConfig.clockRate = 8000
        config.medConfig.noVad = True  # a phone keeps sending through silence
        config.medConfig.ecTailLen = 0
        config.logConfig.level = config.logConfig.consoleLevel = log_level
        self.endpoint.libCreate()
        self.endpoint.libInit(config)
        self.endpoint.audDevManager().setNullDev()
        socket = pj.TransportConfig()
        socket.boundAddress = socket.publicAddress = "127.0.0.1"
        if trust:
            socket.tlsConfig.CaListFile, socket.tlsConfig.verifyServer = trust, True
        number = self.endpoint.transportCreate(TRANSPORTS[transport], socket)
        self.endpoint.libStart()
        self._only(codecs)
        port = int(self.endpoint.transportGetInfo(number).localName.rsplit(":", 1)[1])
        account = pj.AccountConfig()
        account.idUri = f"sip:pjsip@127.0.0.1:{port}" + (
            "" if transport == "udp" else f";transport={transport}"
        )
        account.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
        account.mediaConfig.transportConfig.port = 0
        if prack:
            account.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY
        account.callConfig.timerUse = TIMERS["required" if timer_s else "optional"]
        if timer_s:
            account.callConfig.timerSessExpiresSec, account.callConfig.timerMinSESec = timer_s, 90
        account.mediaConfig.srtpUse = SRTP[srtp]
        account.mediaConfig.srtpSecureSignaling = 0
        self.account.create(account)
        tell("started", uri=account.idUri, port=port)

    def call(self, *, uri: str, headers: dict[str, str] | None = None, cancel_at: int = 0) -> None:
        """Dial. headers: extra ones of the INVITE. cancel_at: hang up at this provisional response."""
        call = PhoneCall(self)
        call.cancel_at = cancel_at
        self.calls[call.number] = call
        operation = pj.CallOpParam(True)
        for name, value in (headers or {}).items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            operation.txOption.headers.push_back(header)
        call.makeCall(uri, operation)

    def answer(self, *, code: int = 200, call: int = 0) -> None:
        """Answer or refuse an incoming call."""
        self._of(call).answer(_operation(code))

    def say(self, *, path: str, call: int = 0) -> None:
        """Play a WAV into a call, once."""
        self._of(call).say(path)

    def record(self, *, path: str, call: int = 0) -> None:
        """Record what a call hears; before the first call, of the first one from its first packet on."""
        if self.calls:
            self._of(call).record(path)
        else:
            self.record_to = path

    def dtmf(self, *, digits: str, info: bool = False, call: int = 0) -> None:
        """Send digits as RTP events (RFC 4733), or each in an INFO (application/dtmf-relay)."""
        keys = pj.CallSendDtmfParam()
        keys.digits, keys.duration = digits, 160
        keys.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if info else RTP_EVENTS
        self._of(call).sendDtmf(keys)

    def refresh(self, *, by: str, call: int = 0) -> None:
        """Send UPDATE or a re-INVITE that changes nothing (RFC 4028 §7.4). by: the method."""
        asked = self._of(call)
        (asked.update if by == "UPDATE" else asked.reinvite)(pj.CallOpParam(True))

    def hangup(self, *, call: int = 0) -> None:
        """BYE when talking, CANCEL while it rings: PJSIP knows which (RFC 3261 §9, §15)."""
        self._of(call).hangup(pj.CallOpParam())

    def hold(self, *, call: int = 0) -> None:
        """re-INVITE with a=sendonly (RFC 3264 §8.4)."""
        self._of(call).setHold(pj.CallOpParam(True))

    def resume(self, *, call: int = 0) -> None:
        """re-INVITE back to a=sendrecv."""
        operation = pj.CallOpParam(True)
        operation.opt.flag = pj.PJSUA_CALL_UNHOLD
        self._of(call).reinvite(operation)

    def transfer(self, *, to: str, call: int = 0) -> None:
        """REFER the other side to a URI (RFC 3515)."""
        self._of(call).xfer(to, pj.CallOpParam(True))

    def connect(self, *, call: int, with_call: int) -> None:
        """REFER the other side of `call` to the other side of `with_call`, whose place it takes (RFC 5589)."""
        self._of(call).xferReplaces(self._of(with_call), pj.CallOpParam(True))

    def statistics(self, *, call: int = 0) -> None:
        """Tell the RTP counters of a live call."""
        tell("statistics", **self._of(call).statistics())

    def quit(self) -> None:
        """Hang up everything and end."""
        self._running = False

    def run(self) -> None:
        """Handle PJSIP and the commands in turn until `quit` or the end of stdin."""
        commands = _lines(0)
        while self._running:
            if self.endpoint.libGetState() >= pj.PJSUA_STATE_CREATED:
                self.endpoint.libHandleEvents(POLL_MS)
                self._free()
                self._listen()
            line = next(commands, "")
            if line is None:
                continue
            if not line:
                break
            self._obey(json.loads(line))
        self._shut_down()

    def _obey(self, command: dict[str, Any]) -> None:
        verb = command.pop("do")
        try:
            getattr(self, verb)(**command)
        except (pj.Error, RuntimeError, LookupError, TypeError) as error:
            text = error.info() if isinstance(error, pj.Error) else str(error)
            tell("refused", command=verb, reason=text)

    def _of(self, number: int) -> PhoneCall:
        if number in self.calls:
            return self.calls[number]
        if number or not self.calls:
            raise LookupError(f"no such call: {number or 'none is up'}")
        return self.calls[max(self.calls)]

    def _free(self) -> None:
        self.finished.clear()
        for call in self.calls.values():
            call.speakers[:] = [speaker for speaker in call.speakers if not speaker.done]

    def _listen(self) -> None:
        for call in list(self.calls.values()):
            media = call.audio()
            if media is not None:
                # Tx: from the phone line into the bridge
                call.ear.hear(media.getTxLevel(), time.monotonic())

    def _only(self, codecs: list[str]) -> None:
        for codec in self.endpoint.codecEnum2():
            wanted = 255 - codecs.index(codec.codecId) if codec.codecId in codecs else 0
            self.endpoint.codecSetPriority(codec.codecId, wanted)

    def _shut_down(self) -> None:
        self.endpoint.hangupAllCalls()
        for _ in range(100):  # half a second for the BYEs to be answered
            if not self.calls:
                break
            self.endpoint.libHandleEvents(POLL_MS)
        self.finished.clear()
        self.endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)  # completes the recordings
        tell("ended")
        EVENTS.flush()
        os._exit(0)  # destructors of SWIG objects after libDestroy may crash; nothing is left to save


def _operation(code: int) -> Any:
    operation = pj.CallOpParam(True)
    operation.statusCode = code
    return operation


def _lines(descriptor: int) -> Iterator[str | None]:
    """Lines of a pipe, None whenever there is none yet; ends with the pipe."""
    buffer = b""
    while True:
        if b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            yield line.decode()
        elif select.select([descriptor], [], [], 0)[0]:
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return
            buffer += chunk
        else:
            yield None


if __name__ == "__main__":
    Phone().run()

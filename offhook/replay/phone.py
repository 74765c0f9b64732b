"""The phone call of a replay: what the agent may do to it, and what comes of that without a phone.

Hold, music and messages are as on a live call (offhook/worker/bridge.py); nobody can be reached from a replay, so a
transfer comes to what it came to then, or succeeds, and a consultation finds nobody. Driven by the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.options import ThinkingSound
from pipeline.ports import Consultation, Frame, TransferResult
from telephony import dialstring
from telephony.dialplan.model import Route
from telephony.media.background import Background, Loop
from telephony.media.codecs import FRAME_MS
from telephony.media.music import music
from telephony.media.progress import tone
from telephony.media.recorder import Recorder
from telephony.media.thinking import thinking

NOBODY = TransferResult(False, 480, "nobody can be called from a replay")


class ReplayPhone:
    """One call's (pipeline.ports.CallControl).

    over(by, reason): the call ends. outcomes: of the transfers of the recorded call, in order.
    """

    def __init__(
        self,
        route: Route,
        rate_hz: int,
        folder: Path,
        recorder: Recorder | None,
        over: Callable[[str, str], None],
        outcomes: Sequence[TransferResult] = (),
    ) -> None:
        self.transferred_to = ""
        self._route, self._rate_hz, self._folder = route, rate_hz, folder
        self._recorder, self._over, self._outcomes = recorder, over, list(outcomes)
        self._background, self._murmur = Background(), Background()
        self._message: Recorder | None = None
        self._messages = 0

    def hang_up(self, reason: str) -> None:
        self._over("us", reason)

    async def transfer(self, target: str) -> TransferResult:
        result = self._outcomes.pop(0) if self._outcomes else TransferResult(True, 200, "replayed")
        if result.ok:
            self.transferred_to = target
            self._over("us", "transferred")
        return result

    async def consult(self, target: str, ring_s: float) -> Consultation | TransferResult:
        return NOBODY

    def send_digits(self, digits: str) -> None:
        dialstring.read(digits)

    async def hold(self) -> bool:
        route = self._route
        if sound := music(route.hold_music, self._rate_hz, route.tones):
            self._background.play(sound)
        return True

    async def resume(self) -> bool:
        self._background.stop()
        return True

    def start_message(self) -> str:
        self._messages += 1
        name = f"message-{self._messages}.wav"
        self._message = Recorder(self._folder / name, self._rate_hz)
        self._background.play(tone("beep", self._rate_hz, self._route.tones))
        return name

    def end_message(self) -> float:
        message, self._message = self._message, None
        if message is None:
            return 0.0
        seconds = message.samples / self._rate_hz
        message.close()
        return seconds

    def think(self, sound: ThinkingSound | None) -> None:
        if sound is None:
            self._murmur.fade()
        elif sound.on:
            pcm = thinking(sound.sound, self._rate_hz, sound.level_db)
            self._murmur.play(Loop(pcm, self._rate_hz), sound.fade_ms // FRAME_MS)

    def pause_recording(self) -> bool:
        if self._recorder is not None:
            self._recorder.pause()
        return self._recorder is not None

    def resume_recording(self) -> bool:
        if self._recorder is not None:
            self._recorder.go_on()
        return self._recorder is not None

    # ------------------------------------------------------------ on the clock

    def heard(self, caller: Frame) -> None:
        """20 ms of the caller, for a message that is being left."""
        if self._message is not None:
            self._message.frame(caller, None)

    def sends(self, speech: Frame | None) -> Frame | None:
        """What leaves with these 20 ms of speech: music and thinking sound behind it."""
        return self._murmur.under(self._background.under(speech))

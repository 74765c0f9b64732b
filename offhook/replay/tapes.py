"""The providers of a replayed call: from the recording's tape, or real ones given the time they took then.

Layers, from the provider up: the time that it took on the recorded call, the tape that plays, what it should be slower
by, the tape that records. Driven by engine.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from offhook.errors import RecordingError
from offhook.replay.options import ReplayOptions
from pipeline.events import Event
from pipeline.ports import Llm, Stt, Tts
from pipeline.providers.cassette.deck import Deck
from pipeline.providers.cassette.playing import PlayingDeck
from pipeline.providers.cassette.recording import RecordingDeck
from pipeline.providers.cassette.tape import Tape, TapeWriter
from pipeline.providers.delayed import DelayedLlm, DelayedStt, DelayedTts

ON_THE_LOOP = {"pocketsphinx", "scripted", "espeak", "fake"}  # these take no time on a virtual clock


class DelayingDeck(Deck):
    """Providers, slower. delays_s: kind → by so much. real: those below are the providers themselves, and the delay is
    the time that they took on the recorded call: those beyond the loop take their own."""

    def __init__(self, delays_s: Mapping[str, float], under: Deck, *, real: bool = False) -> None:
        self._delays_s, self._under, self._real = delays_s, under, real

    def stt(self, identity: str, make: Callable[[], Stt]) -> Stt:
        stt = self._under.stt(identity, make)
        beyond = self._beyond(stt)
        delay_s = 0.0 if beyond else self._delays_s.get("stt", 0.0)
        return DelayedStt(stt, delay_s, beyond=beyond) if delay_s or beyond else stt

    def llm(self, identity: str, make: Callable[[], Llm]) -> Llm:
        llm = self._under.llm(identity, make)
        beyond = self._beyond(llm)
        delay_s = 0.0 if beyond else self._delays_s.get("llm", 0.0)
        return DelayedLlm(llm, delay_s, beyond=beyond) if delay_s or beyond else llm

    def tts(self, identity: str, make: Callable[[], Tts]) -> Tts:
        tts = self._under.tts(identity, make)
        beyond = self._beyond(tts)
        delay_s = 0.0 if beyond else self._delays_s.get("tts", 0.0)
        return DelayedTts(tts, delay_s, beyond=beyond) if delay_s or beyond else tts

    def speaks(self, identity: str) -> str:
        return self._under.speaks(identity)

    def noticed(self, event: Event) -> None:
        self._under.noticed(event)

    def close(self) -> None:
        self._under.close()

    def _beyond(self, provider: Stt | Llm | Tts) -> bool:
        members = getattr(provider, "providers", (provider,))
        return self._real and any(member.name not in ON_THE_LOOP for member in members)


class Tapes:
    """The decks of one replayed call. deck: what casting asks.

    source: the recording's folder or file. folder: the new bundle. place: of the caller's newest frame in the
    recording, recorded: how long the new recording is, both in samples. masked: as the plan says.
    Raises RecordingError if the tape that is to be played is not there."""

    def __init__(
        self,
        options: ReplayOptions,
        source: Path,
        folder: Path,
        latencies_s: Mapping[str, float],
        emit: Callable[[Event], None],
        place: Callable[[], int],
        recorded: Callable[[], int],
        *,
        masked: bool,
    ) -> None:
        mode = options.cassette
        tape = None if mode in ("off", "record") else Tape.read(source)
        if tape is None and mode in ("replay", "replay-or-live"):
            raise RecordingError(
                f"{source}: has no tape. Replay with --cassette off, or record calls with `cassette: on` in the plan."
            )
        self._playing: PlayingDeck | None = None
        deck: Deck = DelayingDeck(latencies_s, Deck(), real=True)
        if tape is not None:
            real = DelayingDeck({}, Deck(), real=True) if mode == "replay-or-live" else None
            deck = self._playing = PlayingDeck(tape, place, emit, real)
        if any(options.delays_s.values()):
            deck = DelayingDeck(options.delays_s, deck)
        if mode in ("record", "replay-or-live"):
            masked = masked or (tape is not None and tape.masked)
            deck = RecordingDeck(TapeWriter(folder, masked=masked), recorded, deck)
        self.deck = deck

    def report(self) -> dict[str, Any]:
        """For call.json: what came from the tape and what did not."""
        if self._playing is None:
            return {}
        playing = self._playing
        return {
            "tape": {"played": dict(playing.played), "missed": dict(playing.missed), "live": playing.live}
        }

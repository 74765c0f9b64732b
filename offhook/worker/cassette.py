"""The tape of a live call: what providers answer is kept in its bundle, if the dial plan says so.

For replays that need no provider (docs/replay.md). Opened by bridge.py when the call begins."""

from __future__ import annotations

from pathlib import Path

import structlog

from pipeline.providers.cassette.deck import LIVE, Deck
from pipeline.providers.cassette.recording import RecordingDeck
from pipeline.providers.cassette.tape import TapeWriter
from telephony.dialplan.model import Route
from telephony.media.recorder import Recorder

log = structlog.get_logger()


def live_deck(route: Route, folder: str, recorder: Recorder | None) -> Deck:
    """The call's tape, or none. Without a recording nobody could say to which sound an answer belongs."""
    if route.cassette == "off" or not folder or recorder is None:
        return LIVE
    try:
        tape = TapeWriter(Path(folder), masked=route.cassette == "masked")
    except OSError as error:
        log.error("no_cassette", folder=folder, error=str(error))
        return LIVE
    return RecordingDeck(tape, lambda: recorder.samples)

"""A recorded call, whatever it was stored as: both sides' sound, who spoke when, which keys, and who phoned whom.

`read` and `read_all` are the door of everything in formats/; engine.py plays what they return. Not a player, and no
judge of what it reads: what was guessed or repaired stands in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from offhook.errors import RecordingError
from offhook.replay import speech
from offhook.replay.formats import bundles, capture, compressed, vcon, wav
from offhook.replay.formats.material import KeyPress, Material, Pcm, Stretch, Utterance

__all__ = ["KeyPress", "Reading", "Recording", "RecordingError", "Utterance", "find", "read", "read_all"]

WAVS = {".wav", ".wave", ".rf64", ".bw64"}
CAPTURES = {".pcap", ".pcapng", ".cap", ".ntar"}
VCONS = {".vcon", ".json"}
MOST_BYTES = 8 << 30
CLEARLY_FIRST_S = 1.0  # a channel that speaks so much earlier is likely the agent's: who answers greets

Side = Literal["left", "right"]
Mono = Literal["mixed", "caller", "agent"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read what the file does not say. caller_channel: None: as the file says, else left. mono: whose sound one
    channel is: one side's alone, or `mixed` both sides', which makes timings a guess; None: as the file says, else
    it is refused."""

    caller_channel: Side | None = None
    mono: Mono | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded call. Equally long int16 channels at rate_hz (8000 or 16000).

    agent: the original agent's side, None if it was not recorded. facts: caller, called, headers (lower-case name →
    value), started (ISO UTC or ""), agent, and more where the file has more. notes: what was guessed or repaired.
    """

    name: str
    rate_hz: int
    caller: Pcm
    agent: Pcm | None
    utterances: tuple[Utterance, ...]
    keys: tuple[KeyPress, ...]
    facts: dict[str, Any] = field(repr=False)
    source: Path
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.caller) / self.rate_hz


def find(paths: Iterable[Path]) -> list[Path]:
    """The recordings among files and folders: files as given, folders searched. In order, each once.

    Raises RecordingError for a path that is not there, and for a folder that holds none."""
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise RecordingError(f"{path}: there is no such file or folder. Check its name.")
        inside = [path] if path.is_file() or bundles.is_bundle(path) else list(_search(path))
        if not inside:
            kinds = "bundles, WAV, MP3, Ogg, FLAC, M4A, pcap and vCon files"
            raise RecordingError(f"{path}: holds no recording. Looked for {kinds}.")
        found |= dict.fromkeys(inside)
    return list(found)


def read(path: Path, reading: Reading | None = None) -> Recording:
    """The one call in a file or bundle. Raises RecordingError, also if there are several (see `read_all`)."""
    recordings = read_all(path, reading)
    if len(recordings) > 1:
        raise RecordingError(
            f"{path}: holds {len(recordings)} calls: {', '.join(one.name for one in recordings[:5])}. "
            "Read them all, or write one file a call."
        )
    return recordings[0]


def read_all(path: Path, reading: Reading | None = None) -> tuple[Recording, ...]:
    """Every call in a file or bundle, in the order they began; captures may hold several. Raises RecordingError."""
    materials = _materials(path)
    several = len(materials) > 1
    return tuple(
        _recording(path, material, reading or Reading(), f"#{index}" if several else "")
        for index, material in enumerate(materials, 1)
    )


def _search(folder: Path) -> Iterable[Path]:
    """Recordings in a folder and below it. A bundle is one, whatever files it holds."""
    if bundles.is_bundle(folder):
        yield folder
        return
    known = WAVS | CAPTURES | compressed.SUFFIXES
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():
                yield from _search(path)
        elif (
            path.suffix.lower() in known or path.suffix.lower() == ".vcon" or path.name.endswith(".vcon.json")
        ):
            yield path


def _materials(path: Path) -> list[Material]:
    if path.is_dir():
        if not bundles.is_bundle(path):
            raise RecordingError(
                f"{path}: is a folder without call.json. Give one call, or search it with `find`."
            )
        return [bundles.read(path)]
    if path.name in ("audio.wav", "call.json", "journal.jsonl") and bundles.is_bundle(path.parent):
        return [bundles.read(path.parent)]
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not size:
                raise RecordingError(f"{path}: is empty. The recorder was stopped before it wrote anything.")
            if size > MOST_BYTES:
                raise RecordingError(f"{path}: {size >> 30} GiB are no call. Cut it into its calls.")
            return _of_file(path, file)
    except OSError as error:
        raise RecordingError(
            f"{path}: cannot be read: {error.strerror}. Check its name and owner."
        ) from error
    except MemoryError as error:
        raise RecordingError(f"{path}: takes more memory than there is. Cut it into its calls.") from error


def _of_file(path: Path, file: BinaryIO) -> list[Material]:
    """By what the file begins with; its name decides only what that leaves open."""
    file.seek(0)
    head = file.read(16)
    place = str(path)
    if capture.is_capture(head):
        return capture.read(file, place)
    if path.suffix.lower() in CAPTURES:
        raise RecordingError(f"{path}: is no pcap or pcapng file, whatever its name says. Capture it again.")
    if head.lstrip()[:1] == b"{" or path.suffix.lower() in VCONS:
        return [vcon.read(path, file, _sound)]
    return [_sound(file, place, None)]


def _sound(file: BinaryIO, place: str, rate_hz: int | None) -> Material:
    """A file that is sound and nothing else."""
    file.seek(0)
    if file.read(4) in wav.MAGIC:
        try:
            return wav.read(file, place, rate_hz)
        except wav.OtherCodec:
            pass
    return compressed.read(file, place, rate_hz)


def _recording(path: Path, material: Material, reading: Reading, number: str) -> Recording:
    """Who is who, who spoke when."""
    notes = list(material.notes)
    name = (material.name or (path.name if path.is_dir() else path.stem.removesuffix(".vcon"))) + number
    caller, agent = _sides(path, material, reading, notes)
    agent_speech, said = material.agent_speech, material.utterances
    if said is None:
        agent_speech = []
        if agent is not None:
            rate_hz = material.rate_hz
            agent_speech = speech.lingering(agent, rate_hz, speech.stretches(agent, rate_hz))
        heard = speech.stretches(caller, material.rate_hz)
        said = speech.utterances(heard, agent_speech)
        if agent is not None and not any(material.sides):
            _doubt(heard, agent_speech, reading, notes)
    else:
        said = speech.related(said, agent_speech or [])
    if material.texts:
        said = speech.captioned(said, material.texts)
    if not said:
        notes.append(
            "no speech of the caller was found" + ("; the whole call is silent" * (not caller.any()))
        )
    facts = {"caller": "", "called": "", "headers": {}, "started": "", "agent": "", **material.facts}
    keys = tuple(sorted(material.keys, key=lambda key: key.at_s))
    return Recording(name, material.rate_hz, caller, agent, tuple(said), keys, facts, path, tuple(notes))


def _sides(path: Path, material: Material, reading: Reading, notes: list[str]) -> tuple[Pcm, Pcm | None]:
    """The caller's channel and the agent's. Raises RecordingError if nobody says whose a single channel is."""
    channels, sides = material.channels, material.sides
    if len(channels) == 1:
        side = sides[0] if sides and sides[0] in ("caller", "agent") else reading.mono
        if side is None:
            raise RecordingError(
                f"{path}: one channel: in a mix of both sides the agent's words cannot be told from the caller's. "
                "Record two channels; or say whose it is: --mono caller or --mono agent if it is one side's alone, "
                "--mono mixed to take all words for the caller's."
            )
        if side == "agent":
            notes.append("one channel, the agent's: the caller is silence")
            return np.zeros_like(channels[0]), channels[0]
        if side == "mixed":
            notes.append(
                "one channel: both sides are mixed, so the agent's words are taken for the caller's and timings are "
                "a guess (--mono caller if it is the caller's alone)"
            )
        return channels[0], None
    if reading.caller_channel is not None:
        left = reading.caller_channel == "left"
        if any(sides) and sides[0 if left else 1] != "caller":
            notes.append(
                f"the caller is on the {reading.caller_channel} as was asked, though the file says otherwise"
            )
            material.utterances = material.agent_speech = None
    elif any(sides):
        left = sides[0] == "caller" or sides[1] == "agent"
    else:
        left = True
        notes.append("assumed that the caller is on the left (--caller-channel says otherwise)")
    return (channels[0], channels[1]) if left else (channels[1], channels[0])


def _doubt(heard: list[Stretch], agent: list[Stretch], reading: Reading, notes: list[str]) -> None:
    """Who answers the phone greets: a caller who speaks first is perhaps the agent."""
    if (
        reading.caller_channel is None
        and heard
        and agent
        and agent[0].start_s - heard[0].start_s > CLEARLY_FIRST_S
    ):
        notes.append("the left channel speaks first, as agents do: check --caller-channel")

"""The tape of one call: cassette.jsonl in its bundle, one JSON object a line, and the voice's sound in cassette.pcm.

    {"type": "cassette", "version": 1, "masked": false}
    {"type": "provider", "kind", "identity", "name", "rate_hz", "improvises", "speaks"}
    {"type": "llm", "key", "parts", "deltas": [[s since the request, "text", ...], ...], "end": s or null, "error"}
    {"type": "tts", "key", "parts", "pii_text", "chunks": [{"wait", "from", "samples", "words", "last"}, ...]}
    {"type": "stt", "identity", "from", "to", "heard": [{"at", "after", ...}, ...]}

Positions of stt rows are samples of the call's recording. API keys never get here: they are no options. Written by
recording.py, read by playing.py."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ConfigError
from pipeline.masking import redacted
from pipeline.ports import Frame

ROWS, SOUND = "cassette.jsonl", "cassette.pcm"
VERSION = 1
_BYTES = 2  # a sample

Row = dict[str, Any]


class TapeWriter:
    """Appends to a call's tape. A full disk ends the tape, never the call."""

    def __init__(self, folder: Path, *, masked: bool = False) -> None:
        self.masked = masked
        self._rows = os.open(folder / ROWS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._sound = os.open(folder / SOUND, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._samples = os.fstat(self._sound).st_size // _BYTES
        self._open = True
        if not os.fstat(self._rows).st_size:
            self.write({"type": "cassette", "version": VERSION, "masked": masked})

    def write(self, row: Mapping[str, Any]) -> None:
        """One line, whole or not at all."""
        text = redacted(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        self._append(self._rows, text.encode("utf-8", "backslashreplace") + b"\n")

    def sound(self, pcm: Frame) -> int:
        """Keep some sound; returns its place in samples."""
        place, self._samples = self._samples, self._samples + len(pcm)
        self._append(self._sound, pcm.astype("<i2", copy=False).tobytes())
        return place

    def close(self) -> None:
        """A second close does nothing."""
        if self._open:
            self._open = False
            os.close(self._rows)
            os.close(self._sound)

    def _append(self, file: int, data: bytes) -> None:
        if not self._open:
            return
        try:
            whole = os.write(file, data) == len(data)
        except OSError:
            whole = False
        if not whole:
            self.close()


class Tape:
    """A tape that was read. Answers are taken in the order in which they were recorded; the last one of a key stays."""

    def __init__(self, rows: Iterable[Row], sound: Frame) -> None:
        self.masked = False
        self.providers: dict[tuple[str, str], Row] = {}
        self.heard: list[Row] = []
        self._sound = sound
        self._answers: dict[str, list[Row]] = defaultdict(list)
        self._asked: list[Row] = []
        for row in rows:
            match row.get("type"):
                case "cassette":
                    self.masked = bool(row.get("masked"))
                case "provider":
                    self.providers.setdefault((str(row["kind"]), str(row["identity"])), row)
                case "llm" | "tts":
                    self._answers[str(row["key"])].append(row)
                    self._asked.append(row)
                case "stt":
                    self.heard.append(row)

    @classmethod
    def read(cls, folder: Path) -> Tape | None:
        """The tape in a bundle's folder, None if there is none. Raises ConfigError for one that is something else."""
        path = folder / ROWS
        if not path.is_file():
            return None
        rows: list[Row] = []
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if not line:
                continue
            try:
                row = json.loads(line)
            except ValueError:
                continue  # cut off when the process died
            if not isinstance(row, dict) or (row.get("type") == "cassette" and row.get("version") != VERSION):
                raise ConfigError(f"{path}:{number}: no tape of version {VERSION}. Record the call again.")
            rows.append(row)
        try:
            sound = np.fromfile(folder / SOUND, "<i2").astype(np.int16, copy=False)
        except OSError:
            sound = np.zeros(0, np.int16)
        return cls(rows, sound)

    def take(self, key: str) -> Row | None:
        """The next answer to this request; a whole one, if there is one."""
        waiting = self._answers.get(key)
        if not waiting:
            return None
        whole = [row for row in waiting if row.get("end") is not None or row.get("error")]
        row = (whole or waiting)[0]
        if len(waiting) > 1:
            waiting.remove(row)
        return row

    def pcm(self, place: int, samples: int) -> Frame:
        """Sound that was kept."""
        return self._sound[place : place + samples]

    def changed(self, kind: str, parts: Mapping[str, str]) -> list[str]:
        """What is different in the request on tape that is most like this one; empty if there is none of its kind."""
        best: list[str] | None = None
        for row in self._asked:
            if row["type"] == kind:
                found = [name for name, value in parts.items() if row["parts"].get(name) != value]
                best = found if best is None or len(found) < len(best) else best
        return best or []

"""Where the files of a plan are read from: the disk, or a version that was kept of them. Driven by load.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


class Sources:
    """Reads files. kept: those of a kept version by where they belong; what is not among them is read from disk."""

    def __init__(self, kept: Mapping[Path, bytes] | None = None) -> None:
        self._kept = {os.path.abspath(path): data for path, data in (kept or {}).items()}

    def read(self, path: str | Path) -> bytes:
        """The bytes of a file. Raises OSError, or ValueError for what cannot be a path."""
        if self._kept and (data := self._kept.get(os.path.abspath(path))) is not None:
            return data
        return Path(path).read_bytes()


DISK = Sources()

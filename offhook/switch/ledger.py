"""Where one call stands, in memory that outlives the switch: rows behind one another, the last one of a kind counts.

A row is checked when it is read, so that one which a dying switch has half written is seen and left out. Memory and no
file: nothing of it is left when the server has ended, and keys of calls are in it. What stands in a row is active.py's
business."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol
from zlib import crc32

FORMAT: Final = "offhook call 1"
MOST_BYTES: Final = 1 << 20  # then it is written anew, without what does not count any more
_SUM: Final = 9  # eight digits and a space


class Line(Protocol):
    """What outlives this process of a line to a colleague."""

    def dump(self) -> dict[str, Any]:
        """Plain values for `Consulting.take_up`."""

    @property
    def fds(self) -> list[int]:
        """Memory, RTP, RTCP."""


class LedgerError(Exception):
    """What is in the memory is not a call of this version. The message says what it is."""


class Ledger:
    """One call's. fd: a memory file, owned from now on."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = 0
        self.first_size = 0  # when it was written anew

    @classmethod
    def create(cls) -> Ledger:
        """New memory. Raises OSError when the system has none left."""
        ledger = cls(os.memfd_create("offhook-ledger", os.MFD_CLOEXEC))
        ledger._write(FORMAT.encode() + b"\n")
        return ledger

    @property
    def full(self) -> bool:
        """Is it time for a new one?"""
        return self.size > max(MOST_BYTES, 4 * self.first_size)

    def append(self, row: Mapping[str, Any]) -> None:
        """One more row of plain values. Raises OSError when the system has no memory left."""
        body = json.dumps(row, separators=(",", ":")).encode()
        self._write(f"{crc32(body):08x} ".encode() + body + b"\n")

    def begun(self) -> None:
        """Everything that counts stands in it now."""
        self.first_size = self.size

    def close(self) -> None:
        """Give our end back. A second close does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _write(self, data: bytes) -> None:
        written = os.write(self.fd, data)
        self.size += written
        if written < len(data):
            raise OSError("no memory for the state of a call")


def read(fd: int) -> tuple[list[dict[str, Any]], str]:
    """Its rows in order, and what was wrong with the rest of them in words, "" if nothing was.

    Raises LedgerError if it is no ledger of this version."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    head, _, rest = data.partition(b"\n")
    if head != FORMAT.encode():
        raise LedgerError(f"begins with {head[:40]!r}, not {FORMAT!r}: another version has written it")
    rows: list[dict[str, Any]] = []
    for count, line in enumerate(rest.split(b"\n"), 1):
        if not line:
            continue
        body = line[_SUM:]
        if line[: _SUM - 1] != f"{crc32(body):08x}".encode():
            return rows, f"row {count} of it is torn; what stood before counts"
        rows.append(json.loads(body))
    return rows, ""

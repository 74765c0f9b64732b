"""What the command line of `offhook serve` says, before anything heavy is imported (serving.py does that)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """None where nothing was said: the settings count then."""

    config: Path | None = None
    sip_port: int | None = None
    http_port: int | None = None
    workers: int | None = None
    dialplan: Path | None = None
    host: str | None = None

"""What the reader of plans (reader.py) tells the switch: the frames' length field, and the first of them."""

from __future__ import annotations

import struct
from typing import Any

from pydantic import BaseModel, ConfigDict

LENGTH = struct.Struct("!I")


class Verdict(BaseModel):
    """What the reader found. problems: none if the plan is good; then agents: every persona and target as plain
    values, for the workers. files: all that it was read from, or those that are wrong."""

    model_config = ConfigDict(frozen=True)

    version: str = ""
    problems: tuple[str, ...] = ()
    agents: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    tests: int = 0
    numbers: int = 0

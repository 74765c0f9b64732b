"""What the live tests share: a server of our own, and which clips the callers speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.server import Server, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with the shipped dial plan; that it leaves nothing behind is checked at the end of each test."""
    async with running_server(tmp_path) as running:
        yield running


@pytest.fixture
def recordings() -> Path:
    """The callers' clips: opening_hours, bill, invoice_number, no_thank_you, goodbye."""
    return Path(__file__).resolve().parents[1] / "recordings"

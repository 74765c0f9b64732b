"""Workers that can never take a call say why, and the switch stops waiting for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from offhook.errors import OffhookError
from offhook.link import Configure
from offhook.switch.pool import Pool

FAKES = {"stt": "fake", "llm": "scripted", "tts": "fake", "vad": "fake"}
CLUMSY = """
from pipeline.agent.agent import Agent

class Clumsy(Agent):
    def __init__(self):
        raise KeyError("forgotten")
"""


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        ({"a": {"instructions": "x", "silence": 7}}, "(?s)cannot be set up: ValidationError: .*silence"),
        ({"a": {"python": "clumsy_agent:Clumsy"}}, "cannot be set up: KeyError: 'forgotten'"),
        ({"a": {"instructions": "x", "llm": [{"name": "grok"}]}}, "agent 'a': .*grok"),
    ],
)
async def test_whatever_breaks_while_a_worker_is_set_up_is_told_and_nobody_waits_for_ever(
    agents: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no check foresees, such as an agent's own code: it used to leave `offhook serve` waiting without a word."""
    (tmp_path / "clumsy_agent.py").write_text(CLUMSY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    configure = Configure(providers=FAKES, agents=agents, log={}, media_timeout_s=30.0, models_socket=None)
    pool = Pool(1, configure, lambda worker, message: None, lambda worker: None)
    running = asyncio.create_task(pool.run())
    try:
        async with asyncio.timeout(20):
            with pytest.raises(OffhookError, match=said):
                await pool.wait_ready()
    finally:
        await pool.stop()
        running.cancel()
        await asyncio.wait({running})

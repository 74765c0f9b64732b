"""baresip, an independent SIP phone (libre): its own parser, its own RTP, its own idea of SDP."""

from __future__ import annotations

import asyncio
import os
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.live.server import Server, running_server

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("baresip") is None and "CI" not in os.environ,
        reason="baresip is not installed (package baresip-core)",
    ),
]

CLIP_HZ = 8000
OPUS_HZ = 48000  # and two channels, whatever is in them (RFC 7587 §4.1)


def _speech(clip: Path, before_s: float, after_s: float, into: Path, *, opus: bool) -> None:
    """A file with the clip in the middle of silence: baresip hangs up when it ends. It resamples nothing."""
    with wave.open(str(clip)) as source:
        sound = np.frombuffer(source.readframes(source.getnframes()), np.int16)
    sound = np.concatenate(
        [np.zeros(int(before_s * CLIP_HZ), np.int16), sound, np.zeros(int(after_s * CLIP_HZ), np.int16)]
    )
    rate_hz, channels = (OPUS_HZ, 2) if opus else (CLIP_HZ, 1)
    between = np.arange(len(sound) * rate_hz // CLIP_HZ) * (CLIP_HZ / rate_hz)
    sound = np.interp(between, np.arange(len(sound)), sound).astype(np.int16).repeat(channels)
    with wave.open(str(into), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(sound.tobytes())


def _configure(home: Path, speech: Path, codec: str) -> None:
    folders = [Path("/usr/lib/baresip/modules"), Path("/usr/lib/x86_64-linux-gnu/baresip/modules")]
    modules = next((folder for folder in folders if folder.exists()), folders[0])
    lines = [
        "sip_listen 127.0.0.1:0",
        "net_interface 127.0.0.1",
        f"audio_source aufile,{speech}",
        "rtp_ports 33000-33998",
        f"module_path {modules}",
        *(f"module {name}.so" for name in ("account", codec, "aufile")),
        "module_app menu.so",
    ]
    (home / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (home / "accounts").write_text("<sip:tester@127.0.0.1>;regint=0\n", encoding="utf-8")


@pytest.mark.parametrize("codec", ["g711", "opus"])
async def test_baresip_asks_and_is_answered(
    codec: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 3261, RFC 3264, RFC 3550, RFC 7587 as somebody else read them: a question is understood and answered."""
    monkeypatch.setenv("OFFHOOK_SIP__CODECS", "OPUS, PCMU")
    async with running_server(tmp_path, workers=1) as server:
        await _conversation(server, codec, recordings, tmp_path)


async def _conversation(server: Server, codec: str, recordings: Path, tmp_path: Path) -> None:
    home = tmp_path / "baresip"
    home.mkdir()
    speech = tmp_path / "speech.wav"
    _speech(recordings / "opening_hours.wav", before_s=7.5, after_s=4.0, into=speech, opus=codec == "opus")
    _configure(home, speech, codec)
    process = await asyncio.create_subprocess_exec(
        "baresip",
        *("-4", "-f", str(home), "-e", f"d {server.uri()}", "-t", "20"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        call = await server.last_call(timeout=20)
        facts = await server.finished(call, timeout=40)
        said = (await process.communicate())[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Call established" in said, said
    assert "receiving from 127.0.0.1" in said, said
    assert [turn["text"] for turn in call.of("UserTurnCommitted")] == ["what are your opening hours"], (
        call.story()
    )
    assert call.of("AgentSpoke")[-1]["text"].startswith("We are open"), call.story()
    assert facts["ended_by"] == "caller"
    media = facts["media"]
    assert media["codec"] == {"g711": "PCMU", "opus": "OPUS"}[codec]
    assert media["lost"] == media["malformed"] == media["late"] == 0
    assert media["received"] == pytest.approx(facts["duration_s"] * 50, rel=0.1)

"""faster-whisper on this machine, with a model that was made up: it says "yes" whatever it hears."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offhook.models.client import HostedStt
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Final, Hints, SttEvent, SttStream
from pipeline.providers import registry
from tests.offhook.test_model_host import host

pytest.importorskip("faster_whisper", reason="pip install offhook[whisper]")

from tests.pipeline.providers import tiny_whisper  # noqa: E402 - needs what was just looked for

SPEECH = (8000 * np.sin(2 * np.pi * 300 * np.arange(160) / 8000)).astype(np.int16)
YES = Final("yes", 1.0, ends_turn=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.write(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
async def stt(model: Path) -> AsyncIterator[Any]:
    made: Any = registry.create_stt("whisper", {"model": str(model), "device": "cpu", "threads": "1"})
    yield made
    await made.aclose()


def say(stream: SttStream, frames: int = 40) -> None:
    for _ in range(20):
        stream.push(SPEECH)
    stream.start_turn()
    for _ in range(frames):
        stream.push(SPEECH)
    stream.end_turn()


async def heard(stream: SttStream, count: int) -> list[SttEvent]:
    events: list[SttEvent] = []
    async with asyncio.timeout(30):
        async for event in stream:
            events.append(event)
            if len(events) == count:
                break
    return events


async def test_each_turn_is_answered_and_a_silent_one_with_nothing(stt: Any) -> None:
    stream = await stt.open(rate_hz=8000, hints=Hints(language="en-GB"))
    say(stream)
    stream.end_turn()
    say(stream)
    assert await heard(stream, 3) == [YES, Final("", 0.0, ends_turn=True), YES]
    await stream.aclose()
    assert [event async for event in stream] == []


async def test_sound_reaches_the_model_at_its_rate(stt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 kHz becomes 16 kHz, the 400 ms before the turn included, and phrases become the prompt."""
    await stt.warm()
    seen: list[tuple[int, dict[str, Any]]] = []
    loaded = stt._model.transcribe

    def transcribe(sound: Any, **how: Any) -> Any:
        seen.append((len(sound), how))
        return loaded(sound, **how)

    monkeypatch.setattr(stt._model, "transcribe", transcribe)
    stream = await stt.open(rate_hz=8000, hints=Hints(("Margherita", "my number is {digits}"), "de-DE"))
    say(stream)
    await heard(stream, 1)
    await stream.aclose()
    assert seen[0][0] == pytest.approx((20 + 40) * 320, abs=64)
    assert (seen[0][1]["language"], seen[0][1]["initial_prompt"]) == ("de", "Margherita, my number is.")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "/nowhere/model"}, "no model.bin in /nowhere/model. Give the directory"),
        ({"model": "small", "beam_size": 0}, "beam_size begins at 1"),
        ({"modell": "x"}, r"no option 'modell'.*Did you mean 'model'\?"),
    ],
)
def test_a_wrong_option_is_answered_with_a_remedy(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        registry.create_stt("whisper", options)


async def test_nothing_is_downloaded_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is not in the hub's cache, which is empty here."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stt: Any = registry.create_stt("whisper", {"model": "tiny", "device": "cpu"})
    with pytest.raises(ConfigError, match="'tiny' is not on this machine. Say `download: yes`"):
        await stt.open(rate_hz=8000, hints=Hints())
    await stt.aclose()


async def test_a_directory_without_its_tokenizer_or_with_a_broken_model_is_refused(
    model: Path, tmp_path: Path
) -> None:
    """faster-whisper would fetch the tokenizer from the network."""
    folder = tmp_path / "broken"
    shutil.copytree(model, folder)
    (folder / "model.bin").write_bytes(b"no model")
    stt: Any = registry.create_stt("whisper", {"model": str(folder), "device": "cpu"})
    with pytest.raises(ConfigError, match="cannot be loaded"):
        await stt.open(rate_hz=8000, hints=Hints())
    await stt.aclose()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="no tokenizer.json"):
        registry.create_stt("whisper", {"model": str(folder)})


async def test_the_model_host_serves_it_to_call_workers(model: Path) -> None:
    """One model for all streams; a model that cannot be had fails its own stream only."""
    with tempfile.TemporaryDirectory(prefix="offhook-") as folder:
        path = f"{folder}/models"
        async with host(path):
            good = HostedStt(path, "whisper", {"model": str(model), "device": "cpu"}, final_timeout_s=30)
            bad = HostedStt(path, "whisper", {"model": str(model), "device": "abacus"})
            streams = [await good.open(rate_hz=rate_hz, hints=Hints()) for rate_hz in (8000, 16000)]
            broken = await bad.open(rate_hz=8000, hints=Hints())
            with pytest.raises(ProviderError, match="cannot be loaded") as failure:
                await heard(broken, 1)
            assert failure.value.cause == "bad_request"
            misspelt = HostedStt(path, "whisper", {"modle": "x"})
            with pytest.raises(ConfigError, match="no option 'modle'"):
                await misspelt.open(rate_hz=8000, hints=Hints())
            await misspelt.aclose()
            for stream in streams:
                say(stream)
            assert [await heard(stream, 1) for stream in streams] == [[YES], [YES]]
            for stream in (*streams, broken):
                await stream.aclose()
            await good.aclose()
            await bad.aclose()

"""Providers by name, and what a wrong configuration is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.providers import registry
from pipeline.providers.fake import FakeLlm, FakeStt, FakeTts, FakeVad
from pipeline.providers.registry import create, create_llm, create_stt, create_tts, create_vad, describe

ACME = """
class AcmeTts:
    name = "acme"
    rate_hz = 24000

    def __init__(self, key: str, region: str = "eu") -> None:
        self.key, self.region = key, region
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that brings a voice and one that is broken."""
    (tmp_path / "acme_voice.py").write_text(ACME)
    (tmp_path / "acme_broken.py").write_text("import a_package_nobody_has\n")
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    points = "tts.acme = acme_voice:AcmeTts\nstt.acme = acme_broken:AcmeStt\nnonsense = x:y\n"
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield
    forget()
    for module in ("acme_voice", "acme_broken"):
        sys.modules.pop(module, None)


def forget() -> None:
    registry._third_party.cache_clear()
    registry._load.cache_clear()


def test_providers_are_made_by_name() -> None:
    """With their options, each call a new one."""
    assert isinstance(create_stt("fake", {"texts": ["hello"]}), FakeStt)
    assert isinstance(create_llm("fake"), FakeLlm)
    assert isinstance(create_vad("fake"), FakeVad)
    tts = create_tts("fake", {"rate_hz": "16000"})
    assert isinstance(tts, FakeTts)
    assert tts.rate_hz == 16000
    assert create_vad("webrtcvad") is not create_vad("webrtcvad")
    assert create_vad("silero", {"rate_hz": 16000}).rate_hz == 16000
    assert create_tts("espeak").rate_hz == 22050


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """And with the one that was probably meant."""
    with pytest.raises(
        ConfigError, match=r"no tts provider 'espaek'. Known: .*espeak, fake.*\. Did you mean 'espeak'\?"
    ):
        create("tts", "espaek")
    with pytest.raises(ConfigError, match=r"no llm provider 'xyz'. Known: .*fake, .*scripted. Fix the name"):
        create("llm", "xyz")


def test_a_wrong_option_is_answered_with_provider_and_option() -> None:
    """Unknown, of the wrong type, or out of range."""
    with pytest.raises(ConfigError, match=r"tts fake: no option 'rate'.*Did you mean 'rate_hz'\?"):
        create("tts", "fake", {"rate": 8000})
    with pytest.raises(ConfigError, match=r"tts fake: option 'rate_hz' is 'fast'.*valid integer"):
        create("tts", "fake", {"rate_hz": "fast"})
    with pytest.raises(ConfigError, match="stt fake: delay_s is -1"):
        create("stt", "fake", {"delay_s": -1})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name under which it is installed, which is not always the name of the module."""
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    monkeypatch.delitem(sys.modules, "pipeline.providers.webrtcvad", raising=False)
    forget()
    with pytest.raises(
        ConfigError, match=r"vad webrtcvad: cannot be loaded.*Install the package webrtcvad-wheels"
    ):
        create("vad", "webrtcvad")


@pytest.mark.usefixtures("acme")
def test_a_third_party_brings_its_own() -> None:
    """Known by its entry point, checked like ours."""
    tts = create("tts", "acme", {"key": "k"})
    assert (type(tts).__name__, vars(tts)) == ("AcmeTts", {"key": "k", "region": "eu"})
    with pytest.raises(ConfigError, match="tts acme: option 'key' is missing"):
        create("tts", "acme")
    with pytest.raises(
        ConfigError, match=r"no tts provider 'acne'. Known: acme, .*espeak, fake.*\. Did you mean 'acme'\?"
    ):
        create("tts", "acne")
    with pytest.raises(
        ConfigError, match=r"stt acme: cannot be loaded.*Install the package a_package_nobody_has"
    ):
        create("stt", "acme")


@pytest.mark.usefixtures("acme")
def test_the_list_of_providers_imports_none() -> None:
    """`offhook providers` answers at once."""
    rows = {(row.kind, row.name): row.installed for row in describe()}
    assert rows["tts", "espeak"]
    assert rows["vad", "silero"]
    assert rows["tts", "acme"]
    assert "acme_voice" not in sys.modules
    assert [row.kind for row in describe()] == sorted(row.kind for row in describe())


def test_a_provider_without_its_package_is_listed_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    entry = registry.Entry("nowhere:Nothing", {"no_such_module": "no-such-package"})
    monkeypatch.setattr(registry, "BUILT_IN", {("stt", "nothing"): entry})
    (row,) = [row for row in describe() if row.name == "nothing"]
    assert (row.installed, row.missing) == (False, ("no-such-package",))

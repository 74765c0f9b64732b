"""`offhook providers`: the list, and one real request."""

from __future__ import annotations

import json
import sys

import pytest

from offhook.cli import main
from pipeline.errors import Cause
from pipeline.providers import registry
from pipeline.providers.blame import failed
from pipeline.providers.fake import FakeLlm


class RefusedLlm(FakeLlm):
    """A model whose server refuses, quoting the key."""

    def __init__(self, cause: Cause = "auth") -> None:
        super().__init__()
        self._cause: Cause = cause

    async def warm(self) -> None:
        raise failed("refused", self._cause, "no access for sk-0123456789abc")


def shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `offhook providers ...`."""
    monkeypatch.setattr(sys, "argv", ["offhook", "providers", *words])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def test_the_list_says_what_is_installed_and_whose_key_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never the key."""
    monkeypatch.setenv("GROQ_API_KEY", "sesame-sesame")
    monkeypatch.setenv("ELEVENLABS_API_KEY", "")
    code, out, _ = shell(monkeypatch, capsys)
    lines = {tuple(line.split()[:2]): line for line in out.splitlines()}
    assert code == 0
    assert "GROQ_API_KEY is set" in lines["llm", "groq"]
    assert "ELEVENLABS_API_KEY is missing" in lines["tts", "elevenlabs"]
    assert "none needed" in lines["tts", "espeak"] and "pitch=50" in lines["tts", "espeak"]
    _, listed, _ = shell(monkeypatch, capsys, "--json")
    rows = {(row["kind"], row["name"]): row for row in json.loads(listed)}
    assert rows["llm", "groq"]["key_present"] is True
    assert rows["vad", "silero"]["installed"] is True
    assert "sesame" not in out + listed


def test_what_is_not_installed_is_listed_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = registry.Entry("nowhere:Llm", {"no_such_module": "no-such-package"}, extra="acme")
    monkeypatch.setattr(registry, "BUILT_IN", {("llm", "acme"): entry})
    assert "no: offhook[acme]" in shell(monkeypatch, capsys)[1]


def test_one_request_shows_where_its_time_went(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model, a voice, and a recogniser that is given a sentence of the embedded voice."""
    option = ("--option", "reply=I am here.", "--option", "delay_s=0.05")
    code, out, _ = shell(monkeypatch, capsys, "test", "fake", "--kind", "llm", "--json", *option)
    trial = json.loads(out)
    assert (code, trial["text"]) == (0, "I am here.")
    assert 50 <= trial["first_ms"] <= trial["total_ms"]
    code, out, _ = shell(monkeypatch, capsys, "test", "espeak")
    assert code == 0 and "first sound" in out and "sound 1." in out
    code, out, _ = shell(monkeypatch, capsys, "test", "pocketsphinx")
    assert code == 0 and "heard 'what are your opening hours'" in out


@pytest.mark.parametrize(
    ("cause", "code"), [("auth", 10), ("quota", 11), ("rate_limit", 12), ("bad_request", 13),
                        ("connectivity", 14), ("timeout", 15), ("server", 16)]
)  # fmt: skip
def test_a_failure_ends_with_a_code_for_its_cause(
    cause: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference.md lists them."""
    monkeypatch.setattr(registry, "BUILT_IN", {("llm", "refused"): registry.Entry("nowhere:Llm", {})})
    monkeypatch.setattr(registry, "_load", lambda kind, name: RefusedLlm)
    got, _, err = shell(monkeypatch, capsys, "test", "refused", "--option", f"cause={cause}")
    assert got == code
    assert f"llm refused: failed ({cause}). refused: no access for ***." in err


def test_a_mistake_of_ours_is_no_failure_of_the_provider(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "")
    monkeypatch.delenv("GROQ_BASE_URL", raising=False)
    for words, said in (
        (("groq",), "groq needs GROQ_API_KEY"),
        (("grok",), "Did you mean 'groq'?"),
        (("fake", "--kind", "vad"), "there is nothing to ask"),
        (("fake", "--kind", "tss"), "no kind of provider 'tss'"),
        (("fake", "--option", "reply"), "Write it as KEY=VALUE"),
    ):
        code, _, err = shell(monkeypatch, capsys, "test", *words)
        assert code == 1 and said in err, err

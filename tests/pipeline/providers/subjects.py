"""The providers that the conformance suite examines: one row each. Whoever adds a provider adds a row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from pipeline.ports import Llm, Stt, Tts
from pipeline.providers.fake import FakeLlm, FakeStt, FakeTts
from pipeline.providers.registry import Kind, create
from pipeline.providers.resilient import FallbackLlm, FallbackStt, FallbackTts
from pipeline.testing.conformance import Difficulties, Subject, checks_for
from tests.pipeline.providers.troubled import TroubledLlm, TroubledServer, TroubledStt, TroubledTts
from tests.pipeline.providers.vendors import VENDORS

Opened: TypeAlias = Callable[[], AbstractAsyncContextManager[Subject]]

ENGLISH = "its model is English"
WORDS = "it has no tokens"
RETRIES = "asking again is its trade"
LISTENS_ON = (
    "a recogniser's team fails after 10 s without anybody; tests/pipeline/providers/test_fallback_stt.py"
)
FAILURES = [
    check.name
    for check in checks_for("stt")
    if check.name.startswith("error_") or check.name in ("malformed", "truncated", "drops", "secrets")
]


def plain(
    kind: Kind, make: Callable[[Any], object], exempt: Mapping[str, str] | None = None, **facts: Any
) -> Opened:
    """A provider without a server."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        yield Subject(kind, make, exempt=exempt or {}, **facts)

    return opened


def troubled(
    kind: Kind,
    make: Callable[[TroubledServer, str], object],
    exempt: Mapping[str, str] | None = None,
) -> Opened:
    """A provider whose server is in this process."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Subject]:
        server = TroubledServer()
        difficulties: Difficulties = server
        yield Subject(kind, lambda text: make(server, text), difficulties, exempt=exempt or {})

    return opened


def scripted(text: str) -> object:
    intent = {"name": "any", "phrases": [Subject.text], "say": [text]}
    return create("llm", "scripted", {"script": {"intents": [intent]}})


def team_of_llms(server: TroubledServer, text: str) -> FallbackLlm:
    members: list[Llm] = [TroubledLlm(server, text)]
    return FallbackLlm(members)


def team_of_stts(server: TroubledServer, text: str) -> FallbackStt:
    members: list[Stt] = [TroubledStt(server, text)]
    return FallbackStt(members)


def team_of_ttss(server: TroubledServer, text: str) -> FallbackTts:
    members: list[Tts] = [TroubledTts(server)]
    return FallbackTts(members)


SUBJECTS: dict[tuple[Kind, str], Opened] = {
    ("stt", "fake"): plain("stt", lambda text: FakeStt(otherwise=text)),
    ("stt", "pocketsphinx"): plain("stt", lambda _: create("stt", "pocketsphinx"), {"unicode": ENGLISH}),
    ("stt", "resilient"): troubled(
        "stt",
        team_of_stts,
        {
            "asks_once": RETRIES,
            "timeout": "it waits for its own members",
            **dict.fromkeys(FAILURES, LISTENS_ON),
        },
    ),
    ("llm", "fake"): plain("llm", FakeLlm, {"usage": WORDS}),
    ("llm", "scripted"): plain("llm", scripted, {"usage": WORDS}),
    ("llm", "resilient"): troubled("llm", team_of_llms, {"asks_once": RETRIES}),
    ("tts", "fake"): plain("tts", lambda _: FakeTts()),
    ("tts", "espeak"): plain("tts", lambda _: create("tts", "espeak")),
    ("tts", "resilient"): troubled("tts", team_of_ttss, {"asks_once": RETRIES}),
    ("vad", "fake"): plain("vad", lambda rate_hz: create("vad", "fake", {"rate_hz": rate_hz})),
    ("vad", "silero"): plain("vad", lambda rate_hz: create("vad", "silero", {"rate_hz": rate_hz})),
    ("vad", "webrtcvad"): plain("vad", lambda rate_hz: create("vad", "webrtcvad", {"rate_hz": rate_hz})),
    **VENDORS,
}

"""Groq's and OpenAI's recognisers through the real SDKs: requests leave before the turn is over, and what if they fail.

The clock is virtual: times are figures of the conversation, not of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Final, Hints, Metered, Partial, Stt, SttEvent
from pipeline.providers import registry
from pipeline.providers.fake import FakeStt
from pipeline.providers.groq.stt import GroqStt
from pipeline.providers.openai.stt import AzureStt, OpenAiStt
from pipeline.providers.resilient import FallbackStt
from pipeline.providers.sdk_client import SdkProvider
from tests.pipeline.providers.servers.openai_like import OpenAiLike, Refusal
from tests.pipeline.providers.servers.patient_virtual_clock import on_patient_clock
from tests.pipeline.rig import SILENCE, VOICE

HINTS = Hints(phrases=("book a table", "{digits:4}", "Bellini"), language="de-AT")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-test-0123456789")
    for name in ("GROQ_BASE_URL", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def groq(server: OpenAiLike, **options: Any) -> GroqStt:
    return GroqStt(base_url=server.url, **options)


def openai(server: OpenAiLike, **options: Any) -> OpenAiStt:
    return OpenAiStt(base_url=f"{server.url}/v1", **options)


both = pytest.mark.parametrize("make", [groq, openai])


class Caller:
    """Speaks at given times, (from, to) in s; noticed after 0.3 s, done 0.6 s after the last word."""

    def __init__(
        self, stt: Stt, speech: Sequence[tuple[float, float]], ends: Sequence[float] | None = None
    ) -> None:
        self._stt, self._speech = stt, speech
        self._ends = [end + 0.6 for _, end in speech] if ends is None else ends
        self.heard: list[tuple[float, SttEvent]] = []
        self.failed: ProviderError | None = None

    async def talk(self, seconds: float) -> Caller:
        if isinstance(self._stt, SdkProvider):
            await self._stt.warm()
        stream = await self._stt.open(rate_hz=8000, hints=HINTS)
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def read() -> None:
            try:
                async for event in stream:
                    self.heard.append((round(loop.time() - began, 2), event))
            except ProviderError as error:
                self.failed = error

        reading = asyncio.create_task(read())
        in_turn = False
        for tick in range(round(seconds * 50)):
            at = tick / 50
            await asyncio.sleep(max(0.0, began + at - loop.time()))
            if not in_turn and any(abs(at - start - 0.3) < 0.005 for start, _ in self._speech):
                stream.start_turn()
                in_turn = True
            if any(abs(at - end) < 0.005 for end in self._ends):
                stream.end_turn()
                in_turn = False
            stream.push(VOICE if any(start <= at < end for start, end in self._speech) else SILENCE)
        self.closing_took_s = -loop.time()
        await stream.aclose()
        self.closing_took_s += loop.time()
        self.paid_s = dict(stream.used()) if isinstance(stream, Metered) else {}
        await reading
        self.began = began
        return self

    @property
    def finals(self) -> list[Final]:
        return [event for _, event in self.heard if isinstance(event, Final)]

    @property
    def partials(self) -> list[str]:
        return [event.text for _, event in self.heard if isinstance(event, Partial)]

    def final_after(self, end: float) -> float:
        """How long the first final took, from there on."""
        return next(at for at, event in self.heard if isinstance(event, Final)) - end


@both
@on_patient_clock
async def test_the_request_left_before_the_turn_was_over_and_the_final_came_from_it(make: Any) -> None:
    """1.4 s of speech end at 2.4; silence is seen at 2.6; the answer takes 0.3 s; the turn is over at 3.0: no wait."""
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 0.3
        stt = make(server, every_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)]).talk(4.0)
        (request,) = server.of("transcriptions")
        left = request.at - caller.began
        assert 2.55 < left < 2.75
        assert left < 3.0
        assert caller.final_after(3.0) <= 0.02
        assert caller.finals[0].text == "hello I would like"
        assert caller.finals[0].ends_turn
        assert "hello I would like" in caller.partials
        assert 0.8 < caller.finals[0].confidence < 1.0
        assert (stt.usage.requests, stt.usage.finals, stt.usage.reused) == (1, 1, 1)
        least_s = 10.0 if stt.name == "groq" else round(request.seconds, 2)
        assert caller.paid_s == {stt.name: pytest.approx(least_s, abs=0.01)}, "as the vendor bills it"
        await stt.aclose()


@both
@on_patient_clock
async def test_without_speculation_the_caller_waits_for_the_whole_request(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 0.3
        stt = make(server, every_ms=0, silence_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)]).talk(4.0)
        assert len(server.requests) == 1
        assert 0.28 < caller.final_after(3.0) < 0.4
        assert stt.usage.reused == 0
        await stt.aclose()


@both
@on_patient_clock
async def test_a_pause_in_the_sentence_costs_a_request_and_no_word(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 0.5
        stt = make(server, every_ms=0)
        caller = await Caller(stt, [(1.0, 1.7), (2.0, 3.4)], ends=[4.0]).talk(5.0)
        first, second = server.of("transcriptions")
        assert first.over in ("gone", "served")  # given up as soon as the next one left
        assert second.over == "served"
        assert [final.text for final in caller.finals] == ["hello I would like to book"]
        assert caller.final_after(4.0) <= 0.14
        await stt.aclose()


@both
@on_patient_clock
async def test_the_words_so_far_are_told_while_the_caller_speaks(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 0.15
        stt = make(server)
        caller = await Caller(stt, [(1.0, 4.5)]).talk(6.0)
        first = next(at for at, event in caller.heard if isinstance(event, Partial))
        assert first < 2.5
        assert len(caller.partials) >= 2
        assert caller.finals[0].text == server.sentences[0].rsplit(" ", 2)[0]
        await stt.aclose()


@on_patient_clock
async def test_groq_is_told_language_words_and_figures_are_asked_for() -> None:
    async with OpenAiLike().running() as server:
        stt = groq(server, prompt="Trattoria", upload="flac", every_ms=0)
        await Caller(stt, [(1.0, 2.4)]).talk(3.5)
        (request,) = server.of("transcriptions")
        assert request.path == "/openai/v1/audio/transcriptions"
        assert request.body["language"] == "de"
        assert request.body["prompt"] == "Trattoria, book a table, Bellini."
        assert request.body["response_format"] == "verbose_json"
        assert (request.body["model"], request.body["filename"]) == ("whisper-large-v3-turbo", "turn.flac")
        assert 1.4 < request.seconds < 2.1
        assert stt.usage.sound_s == pytest.approx(request.seconds, abs=0.01)
        assert stt.usage.billed_s == 10.0  # Groq's least
        await stt.aclose()


@on_patient_clock
async def test_another_agents_words_are_expected_from_the_next_turn_on() -> None:
    async with OpenAiLike().running() as server:
        stt = groq(server, every_ms=0, silence_ms=0)
        stream = await stt.open(rate_hz=8000, hints=HINTS)
        for hints in (Hints(("pay a bill",), "en-GB"), Hints()):
            stream.start_turn()
            stream.expect(hints)
            for _ in range(50):
                stream.push(VOICE)
            stream.end_turn()
        heard = aiter(stream)
        assert [(await anext(heard)).text, (await anext(heard)).text] == ["hello I would"] * 2
        told = {request.body.get("prompt"): request.body["language"] for request in server.requests}
        assert told == {"book a table, Bellini.": "de", "pay a bill.": "en"}
        await stream.aclose()
        await stt.aclose()


@on_patient_clock
async def test_openai_is_asked_to_stream_or_for_figures_as_its_model_can() -> None:
    async with OpenAiLike().running() as server:
        for model, form, streams in (
            ("gpt-4o-mini-transcribe", "json", "true"),
            ("whisper-1", "verbose_json", None),
        ):
            stt = openai(server, model=model, every_ms=0)
            await Caller(stt, [(1.0, 2.4)]).talk(3.5)
            body = server.requests[-1].body
            assert (body["response_format"], body.get("stream")) == (form, streams)
            await stt.aclose()
        azure = AzureStt(base_url=server.url, api_version="2025-03-01-preview", deployment="ears", every_ms=0)
        caller = await Caller(azure, [(1.0, 2.4)]).talk(3.5)
        assert server.requests[-1].path == "/openai/deployments/ears/audio/transcriptions"
        assert caller.finals[0].text == "hello I would like"
        await azure.aclose()


@both
@on_patient_clock
async def test_a_line_that_whisper_makes_up_is_nothing_said(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.transcripts.extend(["Thank you for watching!"] * 2)
        stt = make(server, every_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)]).talk(3.5)
        assert caller.finals == [Final("", 0.0, ends_turn=True)]
        assert caller.partials == []
        await stt.aclose()


@on_patient_clock
async def test_a_turn_in_which_nobody_spoke_costs_nothing_and_is_answered_in_its_place() -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 1.0
        stt = groq(server, silence_ms=0, every_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)], ends=[3.0, 3.2]).talk(5.0)
        assert len(server.requests) == 1
        assert [final.text for final in caller.finals] == ["hello I would like", ""]
        await stt.aclose()


@both
@on_patient_clock
async def test_a_guess_that_fails_is_made_good_when_the_turn_is_over(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.fates["transcriptions"] += [Refusal(503, "overloaded")]
        stt = make(server, every_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)]).talk(4.0)
        assert len(server.requests) == 2
        assert caller.failed is None
        assert [final.text for final in caller.finals] == ["hello I would like"]
        await stt.aclose()


@both
@pytest.mark.parametrize(
    ("fate", "cause"),
    [
        (Refusal(401, "Invalid API Key sk-test-0123456789"), "auth"),
        (Refusal(429, "slow down", headers={"retry-after": "9"}), "rate_limit"),
        (Refusal(413, "too large"), "bad_request"),
        ("drop", None),
        ("truncate", None),
        ("garbage", None),
        ("hang", "timeout"),
    ],
)
@on_patient_clock
async def test_a_turn_that_gets_no_answer_fails_with_its_cause(
    make: Any, fate: Any, cause: str | None
) -> None:
    async with OpenAiLike().running() as server:
        server.after = 1
        server.fates["transcriptions"] += [fate] * 2
        stt = make(server, timeout_s=1.0, every_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)]).talk(6.0)
        assert caller.finals == []
        assert caller.failed is not None
        assert caller.failed.cause == cause or (cause is None and caller.failed.retry)
        assert "sk-test" not in str(caller.failed)
        if "429" in str(caller.failed):
            assert caller.failed.retry_after == 9.0
        await stt.aclose()


@both
@on_patient_clock
async def test_a_call_that_ends_gives_its_request_up_at_once(make: Any) -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 30.0
        stt = make(server, every_ms=0)
        caller = await Caller(stt, [(1.0, 2.4)]).talk(3.5)
        assert caller.closing_took_s < 0.05
        await asyncio.sleep(0.1)
        assert [request.over for request in server.requests] == ["gone"]
        assert caller.finals == []
        await stt.aclose()


@on_patient_clock
async def test_when_few_requests_are_left_none_is_spent_on_a_guess() -> None:
    async with OpenAiLike().running() as server:
        server.headers = {"x-ratelimit-remaining-requests": "4", "x-ratelimit-reset-requests": "20s"}
        stt = groq(server)
        caller = await Caller(stt, [(1.0, 2.4), (5.0, 6.4)]).talk(8.0)
        before, after = (
            [request for request in server.requests if request.at - caller.began < 3.5],
            [request.at - caller.began for request in server.requests if request.at - caller.began > 4.5],
        )
        assert len(before) == 2  # a partial, the pause
        assert len(after) == 1 and after[0] > 6.9  # end_turn() alone
        assert len(caller.finals) == 2
        await stt.aclose()


@on_patient_clock
async def test_calls_share_a_bounded_number_of_requests_and_those_who_wait_come_first() -> None:
    async with OpenAiLike().running() as server:
        server.delay_s["transcriptions"] = 0.5
        stt = groq(server, concurrency=3, every_ms=0)
        callers = [Caller(stt, [(1.0, 2.4)]) for _ in range(6)]
        await asyncio.gather(*[caller.talk(6.0) for caller in callers])
        running = [
            sum(other.at <= request.at < other.at + 0.5 for other in server.requests)
            for request in server.requests
        ]
        assert max(running) == 3
        assert [len(caller.finals) for caller in callers] == [1] * 6
        assert stt.usage.requests == 6
        assert 0 < stt.usage.reused < 6
        await stt.aclose()


@on_patient_clock
async def test_the_next_recogniser_takes_over_a_turn_that_groq_refuses() -> None:
    async with OpenAiLike().running() as server:
        server.fates["transcriptions"] += [Refusal(429, "slow down", headers={"retry-after": "30"})] * 2
        stt = groq(server, every_ms=0)
        team = FallbackStt([stt, FakeStt(["from the other one"])])
        caller = await Caller(team, [(1.0, 2.4)]).talk(5.0)
        assert [final.text for final in caller.finals] == ["from the other one"]
        assert caller.final_after(3.0) < 0.5
        assert caller.paid_s.get("groq", 0.0) == 0.0, "what is refused costs nothing"
        assert caller.paid_s["fake"] > 2.0
        await stt.aclose()


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="concurrency must be 1 or more"):
        registry.create_stt("groq", {"concurrency": 0})
    with pytest.raises(ConfigError, match="option 'model' is missing"):
        registry.create_stt("vllm", {})
    with pytest.raises(ConfigError, match="upload"):
        registry.create_stt("openai", {"upload": "mp3"})

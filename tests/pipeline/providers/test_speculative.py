"""When a recogniser of single requests is asked, and what its answers are worth. No sockets, no clock."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Mapping
from typing import Any

import av
import numpy as np
import pytest

from pipeline.errors import ProviderError
from pipeline.ports import Final, Hints, Partial
from pipeline.providers.rate_limits import RateLimits, seconds
from pipeline.providers.speculative import Ask, Loudness, Policy, SpeculativeTurn
from pipeline.providers.upload import as_file
from pipeline.providers.whisper import judged, language_code, prompt_of
from tests.pipeline.rig import SILENCE, VOICE

FRAME = bytes(320)
PAUSES = Policy(silence_ms=200, every_ms=0)


def hear(turn: SpeculativeTurn, ms: int, *, loud: bool) -> list[Ask]:
    """So much of the caller; returns what was asked for meanwhile."""
    asks = [turn.hear(FRAME, loud) for _ in range(ms // 20)]
    return [ask for ask in asks if ask is not None]


def length_ms(ask: Ask) -> int:
    return len(ask.pcm) // 16


def test_a_request_leaves_200_ms_into_silence_and_its_answer_is_the_turns() -> None:
    turn = SpeculativeTurn(bytes(16 * 400), 8000, PAUSES)
    assert hear(turn, 1000, loud=True) == []
    (ask,) = hear(turn, 400, loud=False)
    assert (length_ms(ask), ask.owed) == (1600, False)
    assert turn.answered(ask, Final("a table for two", 0.9)) == Partial("a table for two")
    assert turn.end() is None
    assert turn.reused
    assert turn.final == Final("a table for two", 0.9, ends_turn=True)


def test_an_answer_that_is_on_its_way_when_the_turn_ends_is_waited_for() -> None:
    turn = SpeculativeTurn(b"", 8000, PAUSES)
    hear(turn, 600, loud=True)
    (ask,) = hear(turn, 200, loud=False)
    assert turn.end() is None
    assert turn.final is None
    turn.answered(ask, Final("hello"))
    assert turn.final == Final("hello", ends_turn=True)


def test_words_after_the_request_make_its_answer_useless() -> None:
    turn = SpeculativeTurn(b"", 8000, PAUSES)
    hear(turn, 600, loud=True)
    (first,) = hear(turn, 200, loud=False)
    turn.answered(first, Final("a table"))
    hear(turn, 300, loud=True)
    owed = turn.end()
    assert owed is not None and owed.owed
    assert length_ms(owed) == 1100
    assert turn.answered(first, Final("a table")) is None
    assert turn.final is None
    turn.answered(owed, Final("a table for two"))
    assert turn.final == Final("a table for two", ends_turn=True)
    assert not turn.reused


def test_silence_behind_the_words_is_not_sent_to_be_made_into_words() -> None:
    turn = SpeculativeTurn(b"", 8000, Policy(0, 0))
    hear(turn, 600, loud=True)
    hear(turn, 3000, loud=False)
    owed = turn.end()
    assert owed is not None
    assert length_ms(owed) == 760


def test_partials_are_asked_for_while_the_caller_speaks_but_one_at_a_time_and_ever_less_often() -> None:
    turn = SpeculativeTurn(b"", 8000, Policy(silence_ms=200, every_ms=1000))
    (first,) = hear(turn, 2500, loud=True)
    assert length_ms(first) == 1000
    assert turn.answered(first, Partial("a")) == Partial("a")
    assert turn.answered(first, Partial("a")) is None
    turn.answered(first, Final("a table"))
    asked: list[int] = []
    for _ in range(500):
        for ask in hear(turn, 20, loud=True):
            asked.append(length_ms(ask))
            turn.answered(ask, Final("words"))
    gaps = np.diff(asked)
    assert gaps[0] < 1100 < 2000 < gaps[-1]


def test_a_guess_that_fails_costs_nothing_until_the_turn_waits_for_it() -> None:
    turn = SpeculativeTurn(b"", 8000, PAUSES)
    hear(turn, 600, loud=True)
    (guess,) = hear(turn, 200, loud=False)
    assert turn.failed(guess) is None
    assert hear(turn, 400, loud=False) == []  # not again and again
    owed = turn.end()
    assert owed is not None and owed.owed
    assert turn.failed(owed) is None  # that is the recogniser's failure


def test_a_guess_that_fails_when_the_turn_waits_for_it_is_asked_again() -> None:
    turn = SpeculativeTurn(b"", 8000, PAUSES)
    hear(turn, 600, loud=True)
    (guess,) = hear(turn, 200, loud=False)
    turn.end()
    again = turn.failed(guess)
    assert again is not None and again.owed
    assert not turn.reused


def test_what_was_not_understood_is_no_partial() -> None:
    turn = SpeculativeTurn(b"", 8000, PAUSES)
    hear(turn, 600, loud=True)
    (guess,) = hear(turn, 200, loud=False)
    assert turn.answered(guess, Final("mumble", 0.1, understood=False)) is None
    turn.end()
    assert turn.final == Final("mumble", 0.1, understood=False, ends_turn=True)


@pytest.mark.parametrize("noise_db", [-70, -45, -30])
def test_a_voice_is_loud_over_the_noise_of_its_line_and_the_noise_is_not(noise_db: int) -> None:
    dice = np.random.default_rng(4)
    level = 32768 * 10 ** (noise_db / 20)
    ears = Loudness()
    noise = [(level * dice.standard_normal(160)).astype(np.int16) for _ in range(200)]
    ears.loud(noise[0])
    assert sum(ears.loud(frame) for frame in noise[1:100]) == 0
    assert all(ears.loud((frame + VOICE).astype(np.int16)) for frame in noise[100:150])
    assert sum(ears.loud(frame) for frame in noise[150:]) == 0
    ears.loud(SILENCE)
    assert not ears.loud(SILENCE)


def test_a_call_that_begins_in_the_middle_of_a_word_loses_nothing_of_it() -> None:
    ears = Loudness()
    ears.loud(VOICE)
    assert not any(ears.loud(VOICE) for _ in range(30))  # for all we know that is the line
    assert ears.loud(SILENCE)  # it was not
    assert not ears.loud(SILENCE)
    turn = SpeculativeTurn(b"", 8000, Policy(0, 0))
    hear(turn, 900, loud=False)
    owed = turn.end()
    assert owed is not None
    assert length_ms(owed) == 900


# ---------------------------------------------------------------- what an answer is worth


def verbose(text: str, **figures: float) -> Mapping[str, Any]:
    sure = {"avg_logprob": -0.2, "no_speech_prob": 0.02, "compression_ratio": 1.1, "start": 0.0, "end": 1.0}
    return {"text": text, "segments": [{"text": text, **sure, **figures}]}


@pytest.mark.parametrize(
    ("answer", "text", "understood"),
    [
        (verbose(" A table for two."), "A table for two.", True),
        (verbose("Thanks for watching!"), "", True),
        (verbose("Sous-titres réalisés par la communauté d'Amara.org"), "", True),
        (verbose("ご視聴ありがとうございました"), "", True),
        (verbose("Thank you."), "Thank you.", True),
        (verbose("Thank you.", no_speech_prob=0.5), "", True),
        (verbose("Mumble mumble", no_speech_prob=0.8, avg_logprob=-1.3), "", True),
        (verbose("A quiet word", no_speech_prob=0.8), "A quiet word", True),
        (verbose("Mumble mumble", avg_logprob=-1.3), "Mumble mumble", False),
        (verbose("no no no no no no", compression_ratio=4.0), "no no no no no no", False),
        (verbose("..."), "", True),
        ({"text": "Hello"}, "Hello", True),
        ({"text": "Please subscribe."}, "", True),
        ({"text": "", "segments": []}, "", True),
        ({"text": "Hello", "segments": [7, {"text": "Hello", "avg_logprob": None}]}, "Hello", True),
    ],
)
def test_what_whisper_makes_up_is_not_said(answer: Mapping[str, Any], text: str, understood: bool) -> None:
    final = judged(answer)
    assert (final.text, final.understood) == (text, understood)


def test_a_made_up_line_behind_real_words_is_cut_off() -> None:
    real, made_up = (
        verbose("Yes, at eight.")["segments"][0],
        verbose("Thank you for watching.")["segments"][0],
    )
    final = judged({"text": "Yes, at eight. Thank you for watching.", "segments": [real, made_up]})
    assert final.text == "Yes, at eight."
    assert final.confidence == pytest.approx(0.82, abs=0.01)


def test_the_prompt_said_back_over_noise_is_nothing_that_was_said() -> None:
    prompt = "book a table, cancel my booking."
    assert judged(verbose("Cancel my booking.", no_speech_prob=0.4, avg_logprob=-0.9), prompt).text == ""
    assert judged(verbose("Cancel my booking.", no_speech_prob=0.01, avg_logprob=-0.3), prompt).text


def test_the_prompt_holds_the_agents_words_without_slots_and_no_more_than_whisper_reads() -> None:
    hints = Hints(phrases=("book a table", "my number is {digits:4}", "Book a table", "{yes_no}"))
    assert prompt_of(hints, "Trattoria Bellini") == "Trattoria Bellini, book a table, my number is."
    assert prompt_of(Hints()) == ""
    many = prompt_of(Hints(phrases=tuple(f"phrase number {n}" for n in range(500))))
    assert 60 < len(many.split()) < 224
    assert len(prompt_of(Hints(phrases=tuple(f"予約{n:04}番" for n in range(500))))) < 300


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en-US", "en"), ("nb-NO", "no"), ("zh-Hant-TW", "zh"), ("", ""), ("und", ""), ("iw", "he")],
)
def test_a_language_has_the_name_that_whisper_knows(tag: str, code: str) -> None:
    assert language_code(tag) == code


# ---------------------------------------------------------------- limits, files


@pytest.mark.parametrize(
    ("text", "value"),
    [("7.66s", 7.66), ("2m59.56s", 179.56), ("120ms", 0.12), ("6m0s", 360), ("1h2m", 3720), ("9", 9), ("", None),
     ("soon", None)],
)  # fmt: skip
def test_a_duration_in_a_header_is_read(text: str, value: float | None) -> None:
    assert seconds(text) == (None if value is None else pytest.approx(value))


def test_a_limit_that_is_used_up_is_known_until_its_window_is_over() -> None:
    limits = RateLimits()
    limits.note({"X-RateLimit-Remaining-Requests": "3", "x-ratelimit-remaining-tokens": "900"}, now=0.0)
    assert limits.scarce(now=0.0)
    limits.check("groq", now=0.0)
    limits.note({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2m"}, now=10.0)
    with pytest.raises(ProviderError, match="used up for 100.0 s more") as failed:
        limits.check("groq", now=30.0)
    assert (failed.value.cause, failed.value.retry_after) == ("rate_limit", 100.0)
    limits.check("groq", now=130.0)
    assert not limits.scarce(now=130.0)
    limits.refused(ProviderError("groq", "rate_limit", "slow down"), now=130.0)
    limits.check("groq", now=130.0)  # it did not say for how long
    assert limits.scarce(now=189.0)
    assert not limits.scarce(now=191.0)


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_file_is_the_turn_at_16_khz(kind: Any, rate_hz: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz * 5 // 2) / rate_hz)).astype(np.int16)
    name, content, media_type = asyncio.run(as_file(tone.tobytes(), rate_hz, kind))
    assert name.endswith(kind) and media_type.endswith(kind)
    if kind == "wav":
        with wave.open(io.BytesIO(content)) as file:
            assert file.getframerate() == 16000
            sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    else:
        with av.open(io.BytesIO(content), "r") as container:
            assert container.streams.audio[0].rate == 16000
            sound = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    assert abs(len(sound) - 40000) <= 32
    assert np.argmax(np.abs(np.fft.rfft(sound))) == pytest.approx(440 * 2.5, abs=2)
    assert np.abs(sound[1000:-1000]).max() == pytest.approx(8000, rel=0.03)

"""Listening noises are no interruption; "no" and "stop" are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hearing.backchannel import PHRASES, WORDS, is_backchannel, may_become_backchannel


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en-US", "uh-huh"),
        ("en-US", "Mm-hmm, yeah, okay."),
        ("en-GB", "I see, all right"),
        ("de-DE", "ja, genau, ach so"),
        ("fr-FR", "d'accord, très bien"),
        ("es-MX", "claro que sí, ya veo"),
        ("it-IT", "sì sì, va bene"),
        ("nl-NL", "ja hoor, snap ik"),
        ("pt-BR", "está bem, pois"),
        ("sv-SE", "mm"),
    ],
)
def test_listening_noises_claim_nothing(language: str, said: str) -> None:
    assert is_backchannel(said, language)


REFUSALS = (
    *(
        "no",
        "nope",
        "nah",
        "stop",
        "wait",
        "hold on",
        "sorry",
        "what",
        "nein",
        "stopp",
        "halt",
        "warte",
        "moment",
    ),
    *("doch", "non", "arrete", "arrête", "attends", "attendez", "pardon", "espera", "para", "alto", "perdón"),
    *("aspetta", "ferma", "basta", "nee", "wacht", "não", "nao", "espere", "pare"),
)


@pytest.mark.parametrize("language", sorted(WORDS))
@pytest.mark.parametrize("said", REFUSALS)
def test_who_stops_or_refuses_takes_the_floor(language: str, said: str) -> None:
    """Alone, and among listening noises."""
    assert not is_backchannel(said, language)
    assert not is_backchannel(f"mhm {said}", language)
    assert not is_backchannel(f"{said} ok", language)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "yes but I wanted friday"),
        ("en", "i"),
        ("de", "ja aber"),
        ("fr", "oui mais"),
        ("sv", "okej"),
        ("en", ""),
    ],
)
def test_anything_more_is_a_claim(language: str, said: str) -> None:
    assert not is_backchannel(said, language)


@pytest.mark.parametrize("language", sorted(WORDS))
def test_every_listed_word_and_phrase_is_found(language: str) -> None:
    for said in [*WORDS[language].split(), *PHRASES[language].split(", ")]:
        assert is_backchannel(said.upper(), language), said


@given(st.text(max_size=120), st.sampled_from([*WORDS, "", "xx"]))
def test_any_text_is_judged_without_an_error(said: str, language: str) -> None:
    assert is_backchannel(said, language) in (True, False)


@pytest.mark.parametrize("said", ["i", "of", "oh i", "makes", "yeah sounds", "that's"])
def test_the_first_word_of_a_listening_noise_is_no_claim_yet(said: str) -> None:
    """ "I" may become "I see" or "I have a question": the next word tells."""
    assert may_become_backchannel(said)
    assert not is_backchannel(said)


@pytest.mark.parametrize("said", ["", "yeah", "i have", "stop", "no of", "of course"])
def test_what_can_become_no_listening_noise_is_decided_at_once(said: str) -> None:
    assert not may_become_backchannel(said)

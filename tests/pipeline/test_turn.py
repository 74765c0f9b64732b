"""Who has the floor: events and times in, decisions out."""

from __future__ import annotations

import pytest

from pipeline.hearing.vad import VoiceStarted, VoiceStopped
from pipeline.turn import (
    NEXT,
    Decision,
    Floor,
    Keyed,
    ReplyAudible,
    ReplyOver,
    TimeUp,
    Turn,
    TurnEvent,
    TurnHandling,
    Understood,
)

OPTIONS = TurnHandling(min_delay_ms=400, max_delay_ms=1500, interrupt_after_ms=200)


def _turn(*events: tuple[TurnEvent, float]) -> Turn:
    turn = Turn(OPTIONS)
    for event, now in events:
        turn.receive(event, now)
    return turn


def test_silence_after_speech_ends_the_turn_after_the_minimum_delay() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.deadline() == pytest.approx(2.4)
    assert turn.receive(TimeUp(), 2.4) == (Decision.END_TURN,)
    assert turn.floor is Floor.THINKING


def test_words_that_need_more_keep_the_turn_open_for_the_maximum_delay() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    turn.heard(False)
    assert turn.deadline() == pytest.approx(3.5)


def test_words_known_to_be_incomplete_before_the_pause_count_too() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    turn.heard(False)
    turn.receive(VoiceStopped(2.0), 2.1)
    assert turn.deadline() == pytest.approx(3.5)
    turn.heard(True)
    assert turn.deadline() == pytest.approx(2.4)


def test_the_next_turn_does_not_inherit_how_complete_the_last_one_was() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    turn.heard(False)
    turn.receive(VoiceStopped(2.0), 2.1)
    turn.receive(TimeUp(), 3.5)
    turn.receive(ReplyOver(), 3.6)
    turn.receive(VoiceStarted(5.0), 5.1)
    turn.receive(VoiceStopped(6.0), 6.1)
    assert turn.deadline() == pytest.approx(6.4)


def test_a_pause_inside_a_turn_is_forgotten_when_the_caller_goes_on() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.receive(VoiceStarted(2.3), 2.35) == ()
    assert turn.floor is Floor.CALLER
    assert turn.deadline() is None
    assert turn.spoke_since == 1.0, "it is still the same turn"


def test_speech_over_the_agent_ducks_at_once_and_interrupts_after_the_set_time() -> None:
    turn = _turn((ReplyAudible(), 1.0))
    assert turn.receive(VoiceStarted(2.0), 2.06) == (Decision.START_TURN, Decision.DUCK)
    assert turn.deadline() == pytest.approx(2.2)
    assert turn.receive(TimeUp(), 2.2) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.CALLER


def test_a_cough_over_the_agent_brings_its_voice_back() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(VoiceStopped(2.1), 2.15) == (Decision.UNDUCK, Decision.END_OVERLAP)
    assert turn.floor is Floor.AGENT
    assert turn.deadline() is None


def test_a_cough_that_is_over_does_not_interrupt_because_its_end_was_noticed_late() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(TimeUp(voiced=False), 2.2) == ()
    assert turn.floor is Floor.OVERLAP
    assert turn.receive(TimeUp(voiced=True), 2.22) == (Decision.INTERRUPT,), "it went on after all"


def test_words_understood_over_the_agent_take_the_floor_even_if_they_were_short() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06), (VoiceStopped(2.1), 2.15))
    assert turn.receive(Understood(), 2.2) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.THINKING


def test_a_sound_while_the_agent_thinks_does_not_lose_the_answer() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1), (TimeUp(), 2.4))
    assert turn.receive(VoiceStarted(2.5), 2.56) == (Decision.START_TURN,)
    assert turn.receive(VoiceStopped(2.6), 2.66) == (Decision.UNDUCK, Decision.END_OVERLAP)
    assert turn.floor is Floor.THINKING, "the answer is still on its way"


def test_a_caller_who_goes_on_while_the_agent_thinks_withdraws_the_answer() -> None:
    turn = _turn(
        (VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1), (TimeUp(), 2.4), (VoiceStarted(2.5), 2.56)
    )
    assert turn.receive(TimeUp(), 2.7) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.CALLER


def test_a_reply_that_begins_while_the_caller_speaks_begins_ducked() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    assert turn.receive(ReplyAudible(), 1.12) == (Decision.DUCK,)
    assert turn.deadline() == pytest.approx(1.2)


def test_a_reply_that_ends_while_the_caller_speaks_leaves_the_floor_to_the_caller() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(ReplyOver(), 2.1) == (Decision.UNDUCK,)
    turn.receive(VoiceStopped(3.0), 3.1)
    assert turn.receive(TimeUp(), 3.4) == (Decision.END_TURN,)


def test_a_key_silences_the_agent_at_once() -> None:
    turn = _turn((ReplyAudible(), 1.0))
    assert turn.receive(Keyed(), 2.0) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.OPEN
    assert turn.spoke_until == 2.0


def test_sound_that_means_nothing_in_a_state_changes_nothing() -> None:
    turn = Turn(OPTIONS)
    assert turn.receive(VoiceStopped(1.0), 1.0) == ()
    assert turn.receive(TimeUp(), 1.0) == ()
    assert turn.floor is Floor.OPEN


def test_every_floor_can_be_left() -> None:
    """A floor without a way out would be a call in silence."""
    assert {floor for floor, _ in NEXT} == set(Floor)

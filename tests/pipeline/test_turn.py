"""Who has the floor: events and times in, decisions out."""

from __future__ import annotations

import pytest

from pipeline.hearing.expectation import Expectation
from pipeline.hearing.vad import VoiceSettled, VoiceStarted, VoiceStirred, VoiceStopped
from pipeline.options import TurnHandling
from pipeline.turn import (
    NEXT,
    Decision,
    Floor,
    Keyed,
    MoreToCome,
    NothingSaid,
    ReplyAudible,
    ReplyOver,
    TimeUp,
    Turn,
    TurnEvent,
    Understood,
    WordsOver,
)

OPTIONS = TurnHandling(min_delay_ms=400, max_delay_ms=1500, interrupt_after_ms=200)


def _turn(*events: tuple[TurnEvent, float]) -> Turn:
    turn = Turn(OPTIONS)
    for event, now in events:
        turn.receive(event, now)
    return turn


def _thinking() -> Turn:
    return _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1), (TimeUp(), 2.4), (Understood(), 2.4))


def test_silence_after_speech_ends_the_turn_after_the_minimum_delay() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.deadline() == pytest.approx(2.4)
    assert turn.receive(TimeUp(), 2.4) == (Decision.END_TURN,)
    assert turn.floor.name == "COMMITTED", "the recogniser owes its last word"
    turn.receive(Understood(), 2.5)
    assert turn.floor is Floor.THINKING


def test_a_sound_that_may_be_the_next_word_keeps_the_turn_open_until_it_is_known() -> None:
    """A detector needs 0.1 to 0.2 s to know speech: the turn must not be ended in the middle of the first syllable."""
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.receive(TimeUp(voiced=False, stirs=True), 2.4) == ()
    turn.receive(VoiceStarted(2.38), 2.5)
    assert turn.floor is Floor.CALLER_SPEAKING


def test_a_sound_that_turns_out_to_be_none_puts_off_the_end_by_a_moment_only() -> None:
    """Until it is over, and never by more than 0.2 s: rain on a car's roof stirs all the time."""
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.receive(TimeUp(voiced=False, stirs=True), 2.4) == ()
    assert turn.receive(TimeUp(voiced=False), 2.44) == (Decision.END_TURN,)
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.receive(TimeUp(voiced=False, stirs=True), 2.58) == ()
    assert turn.receive(TimeUp(voiced=False, stirs=True), 2.6) == (Decision.END_TURN,)


def test_words_that_need_more_keep_the_turn_open_for_the_maximum_delay() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    turn.heard("words", False)
    assert turn.deadline() == pytest.approx(3.5)


def test_words_known_to_be_incomplete_before_the_pause_count_too() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    turn.heard("words", False)
    turn.receive(VoiceStopped(2.0), 2.1)
    assert turn.deadline() == pytest.approx(3.5)
    turn.heard("words", True)
    assert turn.deadline() == pytest.approx(2.4)


def test_the_next_turn_does_not_inherit_how_complete_the_last_one_was() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    turn.heard("words", False)
    turn.receive(VoiceStopped(2.0), 2.1)
    turn.receive(TimeUp(), 3.5)
    turn.receive(ReplyOver(), 3.6)
    turn.receive(VoiceStarted(5.0), 5.1)
    turn.receive(VoiceStopped(6.0), 6.1)
    assert turn.deadline() == pytest.approx(6.4)


def test_a_pause_inside_a_turn_is_forgotten_when_the_caller_goes_on() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.receive(VoiceStarted(2.3), 2.35) == ()
    assert turn.floor is Floor.CALLER_SPEAKING
    assert turn.deadline() == pytest.approx(1.0 + OPTIONS.max_turn_s), "only hold music talks for so long"
    assert turn.spoke_since == 1.0, "it is still the same turn"


def test_speech_over_the_agent_ducks_at_once_and_stops_it_after_the_set_time() -> None:
    turn = _turn((ReplyAudible(), 1.0))
    assert turn.receive(VoiceStarted(2.0), 2.06) == (Decision.START_TURN, Decision.DUCK)
    assert turn.deadline() == pytest.approx(2.2)
    assert turn.receive(TimeUp(), 2.2) == (Decision.PAUSE,)
    assert turn.floor.name == "PAUSED"
    assert turn.receive(WordsOver(claims=True), 2.9) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.CALLER_SPEAKING


def test_noise_makes_the_agent_wait_but_does_not_take_the_floor_from_it() -> None:
    turn = _paused()
    assert turn.deadline() == pytest.approx(2.0 + OPTIONS.max_turn_s), "a dog may bark for long"
    assert turn.receive(VoiceStopped(8.0), 8.1) == ()
    assert turn.receive(TimeUp(voiced=False), 8.4) == (Decision.END_OVERLAP,)
    assert turn.receive(NothingSaid(), 8.5) == (Decision.RESUME,)


def test_music_that_never_ends_takes_the_floor_in_the_end() -> None:
    turn = _paused()
    assert turn.receive(TimeUp(), 62.0) == (Decision.INTERRUPT,)
    assert turn.receive(TimeUp(), 62.0) == (Decision.END_TURN,)


def test_words_over_the_agent_take_the_floor_at_once() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(WordsOver(claims=True), 2.15) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.CALLER_SPEAKING


def test_listening_noises_are_talked_through_for_longer() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06), (WordsOver(claims=False), 2.15))
    assert turn.floor.name == "DUCKED"
    assert turn.deadline() == pytest.approx(2.0 + OPTIONS.interrupt_surely_ms / 1000)
    assert turn.receive(VoiceStopped(2.6), 2.72) == (Decision.UNDUCK, Decision.END_OVERLAP)
    assert turn.floor is Floor.SPEAKING


def _paused() -> Turn:
    return _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06), (TimeUp(), 2.2))


def test_an_agent_that_stopped_for_nothing_goes_on() -> None:
    turn = _paused()
    assert turn.receive(VoiceStopped(2.5), 2.62) == (), "was that all?"
    assert turn.receive(TimeUp(voiced=False), 2.9) == (Decision.END_OVERLAP,), "were there words in it?"
    assert turn.receive(NothingSaid(), 2.95) == (Decision.RESUME,)
    assert turn.floor is Floor.SPEAKING


def test_an_agent_that_stopped_goes_on_when_the_recogniser_says_nothing_at_all() -> None:
    turn = _paused()
    turn.receive(VoiceStopped(2.5), 2.62)
    turn.receive(TimeUp(voiced=False), 2.9)
    assert turn.deadline() == pytest.approx(2.9 + OPTIONS.resume_after_ms / 1000)
    assert turn.receive(TimeUp(voiced=False), 3.9) == (Decision.RESUME,)


def test_words_that_come_after_the_agent_stopped_make_it_an_interruption() -> None:
    turn = _paused()
    turn.receive(VoiceStopped(2.5), 2.62)
    assert turn.receive(Understood(), 2.8) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.THINKING


def test_what_must_be_heard_is_neither_ducked_nor_stopped() -> None:
    turn = _turn((ReplyAudible(protected=True), 1.0))
    assert turn.receive(VoiceStarted(2.0), 2.06) == (Decision.START_TURN,)
    assert turn.deadline() is None
    assert turn.receive(WordsOver(claims=True), 2.3) == ()
    assert turn.receive(Keyed(), 2.4) == ()
    turn.receive(VoiceStopped(3.0), 3.1)
    turn.receive(ReplyOver(), 5.0)
    assert turn.floor is Floor.LISTENING


def test_a_caller_who_goes_on_before_the_last_word_is_there_is_in_the_same_turn() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1), (TimeUp(), 2.4))
    assert turn.receive(VoiceStarted(2.5), 2.56) == (Decision.START_TURN,)
    assert turn.floor is Floor.CALLER_SPEAKING


def test_a_line_that_never_falls_silent_ends_the_turn() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    assert turn.receive(TimeUp(), 61.0) == (Decision.END_TURN,)
    assert turn.caller_speaks and turn.floor is Floor.COMMITTED


def test_a_cough_over_the_agent_brings_its_voice_back() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(VoiceStopped(2.1), 2.15) == (Decision.UNDUCK, Decision.END_OVERLAP)
    assert turn.floor is Floor.SPEAKING
    assert turn.deadline() is None


def test_a_cough_that_is_over_does_not_interrupt_because_its_end_was_noticed_late() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(TimeUp(voiced=False), 2.2) == ()
    assert turn.floor is Floor.DUCKED
    assert turn.receive(TimeUp(voiced=True), 2.22) == (Decision.PAUSE,), "it went on after all"


def test_words_understood_over_the_agent_take_the_floor_even_if_they_were_short() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06), (VoiceStopped(2.1), 2.15))
    assert turn.receive(Understood(), 2.2) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.THINKING


def test_a_sound_while_the_agent_thinks_does_not_lose_the_answer() -> None:
    turn = _thinking()
    assert turn.receive(VoiceStarted(2.5), 2.56) == (Decision.START_TURN,)
    assert turn.receive(VoiceStopped(2.6), 2.66) == (Decision.UNDUCK, Decision.END_OVERLAP)
    assert turn.floor is Floor.THINKING, "the answer is still on its way"


def test_a_caller_who_goes_on_while_the_agent_thinks_withdraws_the_answer() -> None:
    turn = _thinking()
    turn.receive(VoiceStarted(2.5), 2.56)
    assert turn.receive(TimeUp(), 2.7) == (Decision.PAUSE,), "it is held back, whatever it is"
    assert turn.receive(WordsOver(claims=True), 2.8) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.CALLER_SPEAKING


def test_a_reply_that_would_begin_while_the_caller_speaks_waits() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    assert turn.receive(ReplyAudible(), 1.12) == (Decision.PAUSE,)
    assert turn.floor is Floor.PAUSED


def test_a_reply_that_would_begin_in_the_callers_pause_waits_for_the_end_of_the_turn() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1))
    assert turn.receive(ReplyAudible(), 2.2) == (Decision.PAUSE,)
    assert turn.deadline() == pytest.approx(2.4)


def test_what_must_be_heard_begins_while_the_caller_speaks() -> None:
    turn = _turn((VoiceStarted(1.0), 1.1))
    assert turn.receive(ReplyAudible(protected=True), 1.12) == ()
    turn.receive(VoiceStopped(2.0), 2.1)
    turn.receive(ReplyOver(), 3.0)
    assert turn.floor is Floor.LISTENING


def test_the_last_word_may_tell_that_the_caller_is_not_done() -> None:
    """One digit of four: the recogniser has ended its turn and must begin another when the caller goes on."""
    turn = _turn((VoiceStarted(1.0), 1.1), (VoiceStopped(2.0), 2.1), (TimeUp(), 2.4))
    turn.endpointing.expectation = Expectation.digits(4)
    turn.heard("one", None)
    assert turn.receive(MoreToCome(), 2.5) == ()
    assert turn.floor is Floor.MAYBE_DONE
    assert turn.deadline() == pytest.approx(2.0 + OPTIONS.incomplete_delay_ms / 1000)
    assert turn.receive(VoiceStarted(3.0), 3.06) == (Decision.START_TURN,)


def test_a_reply_that_ends_while_the_caller_speaks_leaves_the_floor_to_the_caller() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStarted(2.0), 2.06))
    assert turn.receive(ReplyOver(), 2.1) == (Decision.UNDUCK,)
    turn.receive(VoiceStopped(3.0), 3.1)
    assert turn.receive(TimeUp(), 3.4) == (Decision.END_TURN,)


def test_a_key_silences_the_agent_at_once() -> None:
    turn = _turn((ReplyAudible(), 1.0))
    assert turn.receive(Keyed(), 2.0) == (Decision.INTERRUPT,)
    assert turn.floor is Floor.LISTENING
    assert turn.spoke_until == 2.0


def test_sound_that_means_nothing_in_a_state_changes_nothing() -> None:
    turn = Turn(OPTIONS)
    assert turn.receive(VoiceStopped(1.0), 1.0) == ()
    assert turn.receive(TimeUp(), 1.0) == ()
    assert turn.floor is Floor.LISTENING


def test_every_floor_can_be_left() -> None:
    """A floor without a way out would be a call in silence."""
    assert {floor for floor, _ in NEXT} == set(Floor)


def test_the_first_sign_of_a_caller_ducks_the_agent_and_takes_nothing_from_it() -> None:
    turn = _turn((ReplyAudible(), 1.0))
    assert turn.receive(VoiceStirred(), 2.0) == (Decision.DUCK,)
    assert turn.floor is Floor.SPEAKING
    assert turn.receive(VoiceSettled(), 2.2) == (Decision.UNDUCK,)
    assert turn.deadline() is None


def test_a_reply_that_ends_ducked_leaves_the_next_one_loud() -> None:
    turn = _turn((ReplyAudible(), 1.0), (VoiceStirred(), 2.0))
    assert turn.receive(ReplyOver(), 2.1) == (Decision.UNDUCK,)


def test_what_must_be_heard_is_not_ducked_for_a_first_sign() -> None:
    assert _turn((ReplyAudible(protected=True), 1.0)).receive(VoiceStirred(), 2.0) == ()

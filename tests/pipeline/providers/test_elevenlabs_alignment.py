"""Character times of ElevenLabs as word times, and its sound as samples."""

from __future__ import annotations

from typing import Any

import av.audio
import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.ports import WordTiming
from pipeline.providers.elevenlabs.alignment import Aligner
from pipeline.providers.elevenlabs.sound import Samples, output_format, spoken_rate
from tests.pipeline.providers.servers.elevenlabs import alignment, tone, ulaw


def _words(*timings: tuple[str, float, float]) -> list[WordTiming]:
    return [WordTiming(*timing) for timing in timings]


def _fed(
    text: str, *messages: tuple[dict[str, Any] | None, dict[str, Any] | None, float]
) -> list[WordTiming]:
    aligner, words = Aligner(text), list[WordTiming]()
    for own, normalised, until_s in messages:
        words += aligner.feed(own, normalised, sound_until_s=until_s)
    return [*words, *aligner.finish()]


def test_a_word_that_two_messages_share_is_one_word() -> None:
    """Reported by several: "the" comes as "th" and "e"."""
    parts = [(alignment("We go th", 100),) * 2, (alignment("ere.", 100),) * 2]
    words = _fed("We go there.", (*parts[0], 0.8), (*parts[1], 1.2))
    assert words == _words(("We", 0.0, 0.2), ("go", 0.3, 0.5), ("there.", 0.6, 1.2))


def test_times_of_a_message_count_from_its_own_sound() -> None:
    """Even if the sound before it was longer than its characters: a breath has no letter."""
    words = _fed("One two", (alignment("One ", 100), None, 1.0), (alignment("two", 100), None, 1.3))
    assert words == _words(("One", 0.0, 0.3), ("two", 1.0, 1.3))


def test_characters_that_ran_ahead_of_their_sound_push_the_next_ones_back() -> None:
    """Seen with Flash: a message may bring more characters than sound, only the sum is right."""
    words = _fed("One two", (alignment("One ", 100), None, 0.1), (alignment("two", 100), None, 0.7))
    assert words == _words(("One", 0.0, 0.3), ("two", 0.4, 0.7))


def test_sound_without_an_alignment_does_not_move_the_words_behind_it() -> None:
    late = alignment("One two", 100)
    assert _fed("One two", (None, None, 0.4), (late, None, 0.7)) == _words(
        ("One", 0.0, 0.3), ("two", 0.4, 0.7)
    )


def test_an_alignment_that_begins_again_from_the_front_tells_no_word_twice() -> None:
    """Reported of Flash v2.5: a first alignment, then a fuller one of the same sentence."""
    text = "Your table is booked."
    first, second = alignment("Your table i", 50), alignment(text, 50)
    words = _fed(text, (first, None, 0.6), (second, None, 1.05))
    assert [word.text for word in words] == text.split()
    assert words[2:] == _words(("is", 0.55, 0.65), ("booked.", 0.7, 1.05))


def test_the_alignment_of_our_own_text_is_believed_where_a_dictionary_changed_the_reading() -> None:
    own, read = alignment("Call Dr. Nguyen", 50), alignment("Call Doctor Win", 50)
    assert [word.text for word in _fed("Call Dr. Nguyen", (own, read, 0.75))] == ["Call", "Dr.", "Nguyen"]


def test_the_normalised_alignment_is_believed_where_the_other_one_is_missing_or_does_not_add_up() -> None:
    crooked = {"chars": ["Y", "e", "s"], "charStartTimesMs": [0, 1], "charDurationsMs": [1, 1, 1]}
    for own in (None, crooked, {"chars": "Yes"}, {}):
        assert _fed("Yes", (own, alignment("Yes", 100), 0.3)) == _words(("Yes", 0.0, 0.3))


def test_a_voice_that_reads_other_words_than_ours_tells_its_own() -> None:
    assert [word.text for word in _fed("5 €", (alignment("five euros", 50), None, 0.5))] == ["five", "euros"]


def test_languages_without_spaces_and_combined_letters_keep_their_times() -> None:
    assert _fed("Grüß Gott, 你好", (alignment("Grüß Gott, 你好", 100), None, 1.3))[-1] == WordTiming(
        "你好", 1.1, 1.3
    )
    assert _fed("İstanbul güzel", (alignment("İstanbul güzel", 100), None, 1.4))[1].text == "güzel"


def test_every_mu_law_byte_is_the_sample_that_ffmpeg_hears() -> None:
    """ITU-T G.711 table 2, against an implementation of its own."""
    every = bytes(range(256))
    decoder = av.CodecContext.create("pcm_mulaw", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8000, av.audio.layout.AudioLayout("mono")
    decoder.format = av.audio.format.AudioFormat("s16")
    heard = np.concatenate([frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(every))])
    assert (Samples("ulaw").feed(every) == heard).all()


def test_what_our_test_server_encodes_is_heard_again() -> None:
    pcm = tone(400, 8000)
    assert (
        np.abs(Samples("ulaw").feed(ulaw(pcm)).astype(int) - pcm).max() <= 256
    )  # half a step of its segment


def test_a_sample_cut_in_two_by_a_message_is_put_together() -> None:
    payload, samples = tone(10, 8000).tobytes(), Samples("pcm")
    heard = [*samples.feed(payload[:7]), *samples.feed(b""), *samples.feed(payload[7:])]
    assert heard == [*tone(10, 8000)]


@pytest.mark.parametrize(
    ("call", "voice"), [(8000, 8000), (16000, 16000), (24000, 24000), (12000, 16000), (48000, 24000)]
)
def test_the_voice_is_asked_for_at_the_rate_of_the_call(call: int, voice: int) -> None:
    assert spoken_rate(call) == voice
    assert output_format(voice, "pcm") == f"pcm_{voice}"


def test_mu_law_is_for_8000_hz_only() -> None:
    assert output_format(8000, "ulaw") == "ulaw_8000"
    with pytest.raises(ConfigError, match="Choose pcm"):
        output_format(16000, "ulaw")

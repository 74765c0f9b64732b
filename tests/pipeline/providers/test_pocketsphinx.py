"""The embedded recogniser, with telephone clips of flite's voices (tests/recordings)."""

import asyncio
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Final, Hints, Partial, SttEvent, SttStream
from pipeline.providers.pocketsphinx import PocketsphinxStream, PocketsphinxStt, Recogniser
from pipeline.providers.pocketsphinx_engine import Decoders, Line

RECORDINGS = Path(__file__).parents[2] / "recordings"
FRONT_DESK = Hints(
    (
        "what are your opening hours",
        "when are you open",
        "are you open on {date}",
        "i have a question about my bill",
        "i want to pay my bill",
        "billing please",
        "i would like to make an appointment",
        "can i make an appointment",
        "on {date}",
        "{date} please",
        "can i speak to a person please",
        "i want to speak to a person",
        "no thank you",
        "that is all goodbye",
        "goodbye",
    )
)
BILLING = Hints(
    (
        "{digits:4}",
        "my invoice number is {digits:4}",
        "i do not have the number",
        "where do i find the number",
        "no thank you",
        "that is all goodbye",
        "goodbye",
    )
)
SAID = [
    ("opening_hours", FRONT_DESK, "what are your opening hours"),
    ("opening_hours_kal", FRONT_DESK, "what are your opening hours"),
    ("bill", FRONT_DESK, "i have a question about my bill"),
    ("bill_kal", FRONT_DESK, "i have a question about my bill"),
    ("appointment", FRONT_DESK, "i would like to make an appointment"),
    ("appointment_kal", FRONT_DESK, "i would like to make an appointment"),
    ("friday", FRONT_DESK, "on friday"),
    ("operator", FRONT_DESK, "can i speak to a person please"),
    ("no_thank_you", FRONT_DESK, "no thank you"),
    ("no_thank_you", BILLING, "no thank you"),
    ("invoice_number", BILLING, "four two seven one"),
    ("yes", BILLING, "yes"),
    ("no", BILLING, "no"),
    ("goodbye", BILLING, "that is all goodbye"),
    ("goodbye_kal", BILLING, "that is all goodbye"),
]


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    """One pool for all calls, as in a process."""
    return Decoders()


def telephone(clip: str, before_s: float = 0.3, behind_s: float = 0.5) -> NDArray[np.int16]:
    """A clip as it comes out of a G.711 mu-law call, with silence around it."""
    with wave.open(str(RECORDINGS / f"{clip}.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    sound = np.concatenate([np.zeros(int(8000 * before_s)), sound, np.zeros(int(8000 * behind_s))])
    # the continuous law of G.711, quantised to its 127 steps: what a call does to a clip, independent of our codec
    level = np.log1p(255 * np.abs(sound) / 32768) / np.log(256)
    steps = np.round(level * 127) / 127
    return np.asarray(np.sign(sound) * (np.expm1(steps * np.log(256)) / 255) * 32767).astype(np.int16)


def noisy(sound: NDArray[np.int16], noise_db: int) -> NDArray[np.int16]:
    """Pink noise in the telephone band, so many dB above the speech of the clips (-20 dBFS)."""
    pitch = np.fft.rfftfreq(len(sound), 1 / 8000)
    white = np.fft.rfft(np.random.default_rng(len(sound)).normal(size=len(sound)))
    pink = np.fft.irfft(np.where((pitch > 300) & (pitch < 3400), white / np.sqrt(pitch + 1), 0), len(sound))
    level = 3277 * 10 ** (noise_db / 20) / np.sqrt(np.mean(pink**2))
    return np.asarray(np.clip(sound + pink * level, -32768, 32767)).astype(np.int16)


def frames(sound: NDArray[np.int16], rate_hz: int = 8000) -> Iterable[NDArray[np.int16]]:
    size = rate_hz // 50
    return (sound[at : at + size] for at in range(0, len(sound) - size + 1, size))


def hear(recogniser: Recogniser, sound: NDArray[np.int16]) -> list[SttEvent]:
    """One turn: the first 400 ms are what was heard before voice activity said so."""
    recogniser.start(sound[:3200].tobytes())
    for frame in frames(sound[3200:]):
        recogniser.push(frame.tobytes())
    recogniser.end()
    events: list[SttEvent] = []
    while recogniser.busy:
        events += recogniser.step()
    return events


def final(events: list[SttEvent]) -> Final:
    """The one answer to the one end of the turn."""
    finals = [event for event in events if isinstance(event, Final)]
    assert len(finals) == 1
    assert finals[0].ends_turn
    assert events[-1] is finals[0]
    return finals[0]


@pytest.mark.parametrize(("clip", "hints", "text"), SAID)
def test_a_phrase_of_the_agent_is_understood_on_the_first_turn(
    decoders: Decoders, clip: str, hints: Hints, text: str
) -> None:
    """Nothing is known of the caller yet: level and noise are judged from the first words."""
    heard = final(hear(Recogniser(decoders, rate_hz=8000, hints=hints), telephone(clip)))
    assert (heard.text, heard.understood) == (text, True)
    assert heard.confidence >= 0.5


@pytest.mark.parametrize("hints", [FRONT_DESK, BILLING])
def test_a_sentence_nobody_foresaw_is_not_understood(decoders: Decoders, hints: Hints) -> None:
    """The decoder always finds some phrase; its score gives it away."""
    heard = final(hear(Recogniser(decoders, rate_hz=8000, hints=hints), telephone("foreign")))
    assert not heard.understood
    assert heard.confidence < 0.5


@pytest.mark.parametrize("gain_db", [-12, 6])
def test_a_quiet_and_a_loud_caller_are_understood_alike(decoders: Decoders, gain_db: int) -> None:
    """Lines differ by more than 20 dB."""
    quiet = (telephone("bill") * 10 ** (gain_db / 20)).astype(np.int16)
    heard = final(hear(Recogniser(decoders, rate_hz=8000, hints=FRONT_DESK), quiet))
    assert (heard.text, heard.understood) == ("i have a question about my bill", True)


def test_a_noisy_line_is_heard_as_one() -> None:
    """Noise 20 dB below speech is told from a clean line by the first words alone."""
    clean = telephone("bill")[:5600]
    clean_line = Line.heard(clean.tobytes(), 8000)
    noisy_line = Line.heard(noisy(clean, -20).tobytes(), 8000)
    assert clean_line is not None
    assert noisy_line is not None
    assert clean_line.noise < 0.3
    assert 0.7 < noisy_line.noise < 1.3


def test_a_conversation_of_two_agents_is_understood_turn_by_turn(decoders: Decoders) -> None:
    """Billing takes over after the second turn: expect() swaps the phrases, the caller's voice is kept."""
    recogniser = Recogniser(decoders, rate_hz=8000, hints=FRONT_DESK)
    heard = [final(hear(recogniser, telephone(clip))).text for clip in ("opening_hours", "bill")]
    recogniser.expect(BILLING)
    heard += [
        final(hear(recogniser, telephone(clip))).text
        for clip in ("invoice_number", "no_thank_you", "goodbye")
    ]
    assert heard == [
        "what are your opening hours",
        "i have a question about my bill",
        "four two seven one",
        "no thank you",
        "that is all goodbye",
    ]


def test_what_the_new_agent_does_not_know_is_no_longer_understood(decoders: Decoders) -> None:
    """From the next turn on, and not before."""
    recogniser = Recogniser(decoders, rate_hz=8000, hints=FRONT_DESK)
    sound = telephone("opening_hours")
    recogniser.start(sound[:3200].tobytes())
    recogniser.expect(BILLING)
    recogniser.push(sound[3200:].tobytes())
    recogniser.end()
    events: list[SttEvent] = []
    while recogniser.busy:
        events += recogniser.step()
    assert final(events).understood
    assert not final(hear(recogniser, sound)).understood


def test_text_grows_while_the_caller_speaks_and_says_when_it_could_stand_alone(decoders: Decoders) -> None:
    """The turn's end may come at once behind a complete phrase."""
    events = hear(Recogniser(decoders, rate_hz=8000, hints=BILLING), telephone("invoice_number"))
    partials = [event for event in events if isinstance(event, Partial)]
    assert len(partials) >= 3
    assert partials[-1] == Partial("four two seven one", complete=True)
    assert all(
        partial.complete == (len(partial.text.split()) == 4) for partial in partials if "four" in partial.text
    )


def test_wideband_calls_are_understood_too(decoders: Decoders) -> None:
    """G.722 and Opus calls come at 16 kHz."""
    narrow = telephone("bill").astype(float)
    wide = np.interp(np.arange(2 * len(narrow)) / 2, np.arange(len(narrow)), narrow).astype(np.int16)
    recogniser = Recogniser(decoders, rate_hz=16000, hints=FRONT_DESK)
    assert final(hear(recogniser, wide)).text == "i have a question about my bill"


def test_what_other_calls_said_leaves_no_trace(decoders: Decoders) -> None:
    """Decoders are shared; voices are not. The library keeps a trifle of the last frames: 1 % of confidence."""
    first = hear(Recogniser(decoders, rate_hz=8000, hints=FRONT_DESK), telephone("operator"))
    hear(Recogniser(decoders, rate_hz=8000, hints=BILLING), telephone("foreign"))
    again = hear(Recogniser(decoders, rate_hz=8000, hints=FRONT_DESK), telephone("operator"))
    assert again[:-1] == first[:-1]
    assert final(again).text == final(first).text
    assert final(again).confidence == pytest.approx(final(first).confidence, abs=0.03)


def test_silence_and_no_turn_at_all_are_answered_with_nothing(decoders: Decoders) -> None:
    """end_turn() is owed an answer whatever came before it."""
    recogniser = Recogniser(decoders, rate_hz=8000, hints=FRONT_DESK)
    recogniser.end()
    assert recogniser.step() == [Final("", 0.0, ends_turn=True)]
    assert hear(recogniser, np.zeros(8000, np.int16)) == [Final("", 0.0, ends_turn=True)]
    hear(recogniser, telephone("bill"))
    assert hear(recogniser, np.zeros(8000, np.int16)) == [Final("", 0.0, ends_turn=True)]
    recogniser.start()
    recogniser.end()
    events: list[SttEvent] = []
    while recogniser.busy:
        events += recogniser.step()
    assert final(events).text == ""


def test_phrases_with_names_no_dictionary_knows_are_recognised(decoders: Decoders) -> None:
    """And one that cannot be said costs only itself."""
    hints = Hints(
        ("is this offhook", "\u043f\u0440\u0438\u0432\u0435\u0442", "i have a question about my bill")
    )
    recogniser = Recogniser(decoders, rate_hz=8000, hints=hints)
    assert len(recogniser.warnings) == 1
    assert "\u043f\u0440\u0438\u0432\u0435\u0442" in recogniser.warnings[0]
    assert final(hear(recogniser, telephone("bill"))).text == "i have a question about my bill"


def test_many_grammars_pass_through_one_decoder(decoders: Decoders) -> None:
    """Every question may have phrases of its own; old grammars make room."""
    for number in range(40):
        recogniser = Recogniser(decoders, rate_hz=8000, hints=Hints((f"choice {number}", "no thank you")))
        heard = final(hear(recogniser, telephone("no_thank_you", 0.2, 0.1)))
    assert heard.text == "no thank you"


@pytest.mark.parametrize(
    ("rate_hz", "language", "told"), [(44_100, "en-US", "44100 Hz"), (8000, "de-DE", "English, not 'de-DE'")]
)
async def test_what_it_cannot_hear_is_refused_before_the_call(rate_hz: int, language: str, told: str) -> None:
    """A plan that asks for German must hear so at once."""
    with pytest.raises(ConfigError, match=told):
        await PocketsphinxStt().open(rate_hz=rate_hz, hints=Hints(language=language))


async def decoded(stream: PocketsphinxStream) -> None:
    """Wait until everything that was pushed is decoded: it gets done in slices on this loop."""
    while stream.busy:  # noqa: ASYNC110 (the stream tells nobody but its reader)
        await asyncio.sleep(0)


def speak(stream: SttStream, clip: str) -> None:
    """A clip into a stream, 20 ms at a time; voice activity notices 200 ms late."""
    for count, frame in enumerate(frames(telephone(clip))):
        stream.push(frame)
        if count == 30:
            stream.start_turn()
    stream.end_turn()


async def turn(stream: SttStream, clip: str) -> list[SttEvent]:
    """One turn and what comes of it, up to its end."""
    speak(stream, clip)
    events: list[SttEvent] = []
    async for event in stream:
        events.append(event)
        if isinstance(event, Final):
            break
    return events


async def test_a_stream_hears_every_turn_and_nothing_in_between() -> None:
    """What was said outside a turn is forgotten, but for the 400 ms before it."""
    stream = await PocketsphinxStt().open(rate_hz=8000, hints=FRONT_DESK)
    for frame in frames(telephone("foreign")):  # nobody called this a turn
        stream.push(frame)
    assert final(await turn(stream, "opening_hours")).text == "what are your opening hours"
    stream.expect(BILLING)
    assert final(await turn(stream, "invoice_number")).text == "four two seven one"
    await stream.aclose()


async def test_every_end_of_a_turn_gets_one_final() -> None:
    """Also without a start, and twice in a row."""
    stream = await PocketsphinxStt().open(rate_hz=8000, hints=FRONT_DESK)
    stream.end_turn()
    stream.start_turn()
    stream.start_turn()
    stream.end_turn()
    stream.end_turn()
    await decoded(stream)
    await stream.aclose()
    assert [event.ends_turn for event in [event async for event in stream] if isinstance(event, Final)] == [
        True
    ] * 3


async def test_a_dead_decoder_is_reported_instead_of_waited_for() -> None:
    """Here the library refuses its grammar: the turn that is owed ends in an error, not in a wait."""
    stt = PocketsphinxStt()
    stream = await stt.open(rate_hz=8000, hints=FRONT_DESK)
    sounds = stt.decoders.grammar(FRONT_DESK.phrases).pronunciations
    assert isinstance(sounds, dict)
    sounds["bill"] = ("NO SUCH PHONE",)
    speak(stream, "bill")
    with pytest.raises(ProviderError, match="decoding failed") as failed:
        async for _ in stream:
            pass
    assert failed.value.cause == "server"
    assert [event async for event in stream] == []


async def test_closing_in_the_middle_of_a_turn_gives_the_decoder_back() -> None:
    """A caller who hangs up while speaking costs no decoder."""
    stt = PocketsphinxStt()
    for _ in range(3):
        stream = await stt.open(rate_hz=8000, hints=FRONT_DESK)
        stream.start_turn()
        for frame in frames(telephone("bill")[:9600]):
            stream.push(frame)
        await decoded(stream)
        await stream.aclose()
        stream.push(np.zeros(160, np.int16))
        stream.end_turn()
    assert stt.decoders.idle == 1

"""Speech for the set: who reads, what is read, and when each word of it is over.

Three kinds of readers: the clips of tests/recordings, always there; voices of the distribution's flite; the prompts of
the distribution's asterisk-core-sounds-en-wav, one human reader. Nothing is kept on disk. Every clip is a telephone's:
8 kHz, 300-3400 Hz, -20 dBFS while there is speech, cut close to where speech begins and ends."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
FRAME = RATE_HZ // 50
LEVEL_DB = -20.0
FULL_SCALE = 32768.0
EDGE_DB = (
    -25.0
)  # against the clip's level: where speech begins and ends; what is weaker there is breath and room
KEPT_S = 0.06  # of that, before and behind
STEP = RATE_HZ // 100  # edges are found to 10 ms

RECORDINGS = Path(__file__).parents[1] / "recordings"
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TRANSCRIPT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")

HUMAN = "human"
SHIPPED = "shipped"
VOICES = ("rms", "slt", "awb", "kal16")
CLIPS = {
    "what are your opening hours": "opening_hours",
    "i have a question about my bill": "bill",
    "four two seven one": "invoice_number",
    "no thank you": "no_thank_you",
    "that is all goodbye": "goodbye",
    "yes": "yes",
    "no": "no",
    "i would like to make an appointment": "appointment",
    "on friday": "friday",
    "can i speak to a person please": "operator",
    "the train from boston was late again": "foreign",
}
AGENT_CLIPS = ("bill_kal", "appointment_kal", "opening_hours_kal", "goodbye_kal")
PLAIN = re.compile(r"[A-Za-z ,.'?-]+")  # prompts with brackets or figures are not read word by word

Sound = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """Some speech. sound: int16 scale. words: each with its end in s from where speech begins. lead_s: from the first
    sample to there. seconds: of speech."""

    sound: Sound
    words: tuple[tuple[str, float], ...]
    lead_s: float
    seconds: float


def readers() -> tuple[str, ...]:
    """Who can read here, beside the shipped clips."""
    found = VOICES if shutil.which("flite") else ()
    return (*found, HUMAN) if (PROMPTS / "digits" / "1.wav").exists() else found


@cache
def say(reader: str, text: str) -> Clip:
    """A text, as a reader says it. Raises KeyError for a text that a reader with fixed clips does not have."""
    if reader == SHIPPED:
        return _clip(_wav(RECORDINGS / f"{CLIPS[text]}.wav"), text)
    if reader == HUMAN:
        return _clip(_wav(prompts()[text]), text)
    return _clip(_flite(reader, text), text)


def knows(reader: str, text: str) -> bool:
    """Can this reader say it?"""
    return text in prompts() if reader == HUMAN else reader != SHIPPED or text in CLIPS


@cache
def prompts() -> dict[str, Path]:
    """What the human reader says, text → file. Empty where the prompts are not installed."""
    if not PROMPTS.exists():
        return {}
    found: dict[str, Path] = {}
    lines = gzip.decompress(TRANSCRIPT.read_bytes()).decode().splitlines() if TRANSCRIPT.exists() else []
    for line in lines:
        name, _, text = line.partition(":")
        path, words = PROMPTS / f"{name.strip()}.wav", " ".join(text.split())
        if path.exists() and PLAIN.fullmatch(words) and "/" not in name:
            found.setdefault(words, path)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    ):
        found[word] = PROMPTS / "digits" / f"{number}.wav"
    return found


@cache
def agent_track(reader: str) -> Sound:
    """About a minute of somebody who talks without end, a quarter of a second between two sentences."""
    pause = np.zeros(RATE_HZ // 4, np.float32)
    if reader == SHIPPED:
        parts = [_clip(_wav(RECORDINGS / f"{name}.wav"), "").sound for name in AGENT_CLIPS * 7]
    elif reader == HUMAN:
        parts = [say(HUMAN, text).sound for text in sorted(prompts()) if 30 < len(text) < 120][:20]
    else:
        parts = [say(reader, text).sound for text in AGENT_SAYS]
    return np.concatenate([part for sound in parts for part in (sound, pause)])


AGENT_SAYS = (
    "thank you for waiting while i looked that up for you",
    "your order left our warehouse on monday and is on its way",
    "it usually takes between two and four working days to arrive",
    "you can follow the parcel on our website with the number in the letter",
    "if nobody is at home the driver leaves it with one of your neighbours",
    "there is also the possibility to collect it from a shop nearby",
    "our service team is here from eight in the morning until six in the evening",
    "on saturdays we are open until noon and on sundays we are closed",
    "should anything be damaged please keep the box and take a picture of it",
    "we will then send you a new one without any further cost",
    "the invoice was sent to you by mail and has to be paid within thirty days",
    "please let me know if there is anything else that i can do for you today",
)


# ---------------------------------------------------------------- making clips


def _flite(voice: str, text: str) -> tuple[Sound, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        return _wav(path)


def _wav(path: Path) -> tuple[Sound, int]:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return pcm.astype(np.float32), file.getframerate()


def _clip(read: tuple[Sound, int], text: str) -> Clip:
    sound = _telephone(*read)
    power = _powers(sound)
    loud = power > power.max() * 1e-4
    level = float(np.sqrt(power[loud].mean()))
    sound = sound * np.float32(FULL_SCALE * 10 ** (LEVEL_DB / 20) / level)
    active = np.flatnonzero(power > level**2 * 10 ** (EDGE_DB / 10))
    first, last = int(active[0]), int(active[-1]) + 1
    kept = round(KEPT_S * RATE_HZ)
    lead = min(kept, first * STEP)
    cut = sound[first * STEP - lead : last * STEP + kept].copy()
    return Clip(cut, _timed(text, active - first + 1), lead / RATE_HZ, (last - first) * STEP / RATE_HZ)


def _telephone(sound: Sound, rate_hz: int) -> Sound:
    """To 8 kHz and 300-3400 Hz, in one step over the whole clip."""
    padded = np.concatenate([np.zeros(rate_hz // 10, np.float32), sound, np.zeros(rate_hz // 10, np.float32)])
    padded = padded[: len(padded) // 8 * 8]
    spectrum = np.fft.rfft(padded)
    hz = np.arange(len(spectrum)) * rate_hz / len(padded)
    spectrum[(hz < 300) | (hz > 3400)] = 0
    size = len(padded) * RATE_HZ // rate_hz
    return (np.fft.irfft(spectrum[: size // 2 + 1], size) * (size / len(padded))).astype(np.float32)


def _powers(sound: Sound) -> Sound:
    steps = sound[: len(sound) // STEP * STEP].reshape(-1, STEP)
    power: Sound = (steps**2).mean(axis=1)
    return power


def _timed(text: str, active: NDArray[np.intp]) -> tuple[tuple[str, float], ...]:
    """When words end: they share the clip's sound by their letters, its pauses do not count."""
    words = text.split()
    letters = np.cumsum([len(word) + 1 for word in words]) if words else np.zeros(0)
    return tuple(
        (
            word,
            float(active[min(len(active) - 1, round(len(active) * end / letters[-1]) - 1)]) * STEP / RATE_HZ,
        )
        for word, end in zip(words, letters, strict=True)
    )

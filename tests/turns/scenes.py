"""The set `phone-turns`: one call each, made from a seed when it is needed.

A scene says what the caller's end sounds like, when which word is over, where speech truly begins and ends, and what
the agent does meanwhile. What comes of it is call.py's business, what that is worth measures.py's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from telephony.media.progress import tone
from telephony.media.tones import TONE_TICKS, tone_frame
from tests.turns import texts
from tests.turns.line import CLEAN, LINES, Echo, Line, click, cough, steady
from tests.turns.sounds import (
    FRAME,
    FULL_SCALE,
    HUMAN,
    RATE_HZ,
    SHIPPED,
    Clip,
    Sound,
    agent_track,
    knows,
    prompts,
    readers,
    say,
)
from tests.turns.texts import Part, of_part

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GROUPS = {4: (2, 2), 5: (2, 3), 6: (3, 3), 7: (3, 4), 8: (3, 2, 3), 10: (3, 3, 4)}
PAUSE_MEDIAN_S, PAUSE_SIGMA = 0.55, 0.35  # lognormal: between clauses, and between groups of digits
OPEN = ("sentence", "clauses", "filler", "word")
EXPECTED = ("digits", "yes_no", "date")
BEFORE_S, AFTER_S = 0.8, 4.5
ECHOES_DB = (-12.0, -18.0, -26.0)
DELAYS_MS = (20, 40, 80, 120, 180, 250)
TONES = ("dtmf", "ringback", "busy", "sit", "hum")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a scene is made from. kind: see `build`. asked: the kind of answer the agent waits for."""

    kind: str
    part: Part
    seed: int
    reader: str
    line: Line = CLEAN
    echo: Echo | None = None
    seconds: float = 0.0  # of agent speech, where nobody else speaks


@dataclass(slots=True)
class Scene:
    """One call. sound: the caller's end, int16 scale, without echo. words: each with its end, s of the call.

    speech: where the caller truly speaks, (from, to) in s. asked: for Expectation, "" for nothing. agent: the sound of
    the agent, empty if it only listens."""

    spec: Spec
    sound: Sound
    words: list[tuple[str, float]] = field(default_factory=list)
    speech: list[tuple[float, float]] = field(default_factory=list)
    asked: str = ""
    agent: Sound = field(default_factory=lambda: np.zeros(0, np.float32))
    text: str = ""
    clean: Sound = field(default_factory=lambda: np.zeros(0, np.float32))  # only the caller's speech

    @property
    def ticks(self) -> int:
        return len(self.sound) // FRAME

    @property
    def begins(self) -> float:
        return self.speech[0][0]

    @property
    def ends(self) -> float:
        return self.speech[-1][1]


# ---------------------------------------------------------------- which scenes there are


def turns(part: Part, seed: int, count: int, kinds: Sequence[str], who: Sequence[str] = ()) -> list[Spec]:
    """The caller speaks while the agent listens. who: readers, by default all there are."""
    dice = np.random.default_rng([seed, 1, texts.PARTS.index(part), len(kinds)])
    who = who or readers() or (SHIPPED,)
    shares = {"sentence": 4, "clauses": 4, "filler": 2, "word": 1, "digits": 4, "yes_no": 2, "date": 1}
    weights = np.array([shares[kind] for kind in kinds], float)
    return [
        Spec(
            str(dice.choice(kinds, p=weights / weights.sum())), part, int(dice.integers(2**31)),
            str(dice.choice(who)), LINES[int(dice.integers(len(LINES)))],
        )
        for _ in range(count)
    ]  # fmt: skip


def overlaps(part: Part, seed: int, count: int, kinds: Sequence[str], who: Sequence[str] = ()) -> list[Spec]:
    """The caller makes a sound while the agent speaks. A third of the lines each has no echo, -26 and -18 dB."""
    dice = np.random.default_rng([seed, 2, texts.PARTS.index(part), len(kinds)])
    who = who or readers() or (SHIPPED,)
    echoes: list[float | None] = [None, -26.0, -18.0]
    found = []
    for _ in range(count):
        level = echoes[int(dice.integers(3))]
        echo = Echo(level, int(dice.choice(DELAYS_MS))) if level is not None else None
        kind = str(dice.choice(kinds))
        line = LINES[int(dice.integers(len(LINES)))]
        found.append(Spec(kind, part, int(dice.integers(2**31)), str(dice.choice(who)), line, echo))
    return found


def echoes(part: Part, seed: int, level_db: float, calls: int, seconds: float) -> list[Spec]:
    """The agent speaks, nobody answers, and its voice comes back."""
    dice = np.random.default_rng([seed, 3, texts.PARTS.index(part), round(-level_db)])
    who = readers() or (SHIPPED,)
    lines = [line for line in LINES if line.noise != "babble"]  # other talkers are no echo
    return [
        Spec(
            "echo", part, int(dice.integers(2**31)), str(dice.choice(who)), lines[int(dice.integers(len(lines)))],
            Echo(level_db, int(dice.choice(DELAYS_MS))), seconds,
        )
        for _ in range(calls)
    ]  # fmt: skip


def tones(part: Part, seed: int, seconds: float) -> list[Spec]:
    """Signals of networks and machines on the caller's line, half of the calls while the agent speaks."""
    return [
        Spec(f"tone {name}", part, seed + number, SHIPPED, CLEAN, None, seconds if number else -seconds)
        for name in TONES
        for number in range(2)
    ]


# ---------------------------------------------------------------- making one


def build(spec: Spec) -> Scene:
    """The scene that a spec stands for; the same one each time."""
    dice = np.random.default_rng(spec.seed)
    if spec.kind == "echo":
        return _with_agent(Scene(spec, _bed(spec, spec.seconds, dice)), spec.reader)
    if spec.kind.startswith("tone "):
        sound = _bed(spec, abs(spec.seconds), dice) + _tone(spec.kind[5:], abs(spec.seconds))
        scene = Scene(spec, sound)
        return _with_agent(scene, SHIPPED) if spec.seconds > 0 else scene
    if spec.kind in (*OPEN, *EXPECTED):
        return _turn(spec, dice)
    return _overlap(spec, dice)


def _turn(spec: Spec, dice: np.random.Generator) -> Scene:
    said, pauses, asked, clips = _what(spec, dice)
    lengths = [clip.seconds for clip in clips]
    total = BEFORE_S + sum(lengths) + sum(pauses) + AFTER_S
    scene = Scene(spec, _bed(spec, total, dice), asked=asked, text=" ".join(said))
    gain = _gain(spec, dice)
    at = BEFORE_S + float(dice.uniform(0, 0.02))
    for clip, pause in zip(clips, [*pauses, 0.0], strict=True):
        _lay(scene, clip, at, gain)
        at += clip.seconds + pause
    return scene


def _what(spec: Spec, dice: np.random.Generator) -> tuple[list[str], list[float], str, list[Clip]]:
    """Texts, the pauses between them, what was asked, and the sounds."""
    kind, part, reader = spec.kind, spec.part, spec.reader
    said: list[str]
    asked = ""
    if kind == "digits":
        count = int(dice.choice(list(GROUPS)))
        digits = [DIGITS[int(dice.integers(10))] for _ in range(count)]
        ends = np.cumsum((0, *GROUPS[count]))
        said = [" ".join(digits[a:b]) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        asked = f"digits {count}"
        if reader == SHIPPED:
            said, asked = ["four two seven one"], "digits 4"
        clips = [_digits(reader, text, dice) for text in said]
        return said, _pauses(len(said) - 1, dice), asked, clips
    if kind == "sentence" and reader == HUMAN:
        known = [text for text in of_part(tuple(sorted(prompts())), part) if 2 < len(text.split()) < 22]
        said = [known[int(dice.integers(len(known)))]]
    else:
        pool: dict[str, list[list[str]]] = {
            "sentence": [[text] for text in of_part(texts.SENTENCES, part)],
            "clauses": [list(pair) for pair in of_part(texts.CLAUSES, part)],
            "filler": [list(pair) for pair in of_part(texts.FILLERS, part)],
            "word": [[text] for text in of_part(texts.WORDS, part)],
            "yes_no": [[text] for text in of_part(texts.YES_NO, part)],
            "date": [[text] for text in of_part(texts.DATES, part)],
        }
        asked = kind if kind in EXPECTED else ""
        able = [choice for choice in pool[kind] if all(knows(reader, text) for text in choice)]
        if not able and reader == HUMAN:
            reader, able = _stand_in(), pool[kind]
        if not able:
            able = [["no thank you"]] if asked == "yes_no" else [["on friday"]]
        said = able[int(dice.integers(len(able)))]
    return said, _pauses(len(said) - 1, dice), asked, [say(reader, text) for text in said]


def _digits(reader: str, text: str, dice: np.random.Generator) -> Clip:
    """A group of digits; the human reader's come from single ones, close together."""
    if reader != HUMAN:
        return say(reader, text)
    clips = [say(HUMAN, word) for word in text.split()]
    sound = np.zeros(round(sum(len(clip.sound) / RATE_HZ + 0.1 for clip in clips) * RATE_HZ), np.float32)
    words: list[tuple[str, float]] = []
    at = lead = clips[0].lead_s
    for clip, word in zip(clips, text.split(), strict=True):
        start = max(0, round((at - clip.lead_s) * RATE_HZ))
        sound[start : start + len(clip.sound)] += clip.sound
        words.append((word, at + clip.seconds - lead))
        over = start + len(clip.sound)
        at += clip.seconds + float(dice.uniform(0.03, 0.1))
    return Clip(sound[:over], tuple(words), lead, words[-1][1])


def _overlap(spec: Spec, dice: np.random.Generator) -> Scene:
    begins = float(dice.uniform(2.5, 7.0))
    scene = Scene(spec, _bed(spec, begins + 5.0, dice))
    if spec.kind in ("interruption", "backchannel"):
        pool = texts.INTERRUPTIONS if spec.kind == "interruption" else texts.BACKCHANNELS
        reader = spec.reader
        able = [text for text in of_part(pool, spec.part) if knows(reader, text)]
        if spec.kind == "interruption" and reader == HUMAN:
            able = [
                text for text in of_part(tuple(sorted(prompts())), spec.part) if 2 < len(text.split()) < 12
            ]
        elif not able and reader == HUMAN:
            reader, able = _stand_in(), of_part(pool, spec.part)
        able = able or (["no thank you"] if spec.kind == "interruption" else ["yes"])
        scene.text = able[int(dice.integers(len(able)))]
        _lay(scene, say(reader, scene.text), begins, _gain(spec, dice))
        if scene.text in texts.UNHEARD and dice.random() < 0.5:
            scene.words.clear()
    else:
        sound = cough(dice) if spec.kind == "cough" else click(dice)
        _lay(scene, Clip(sound, (), 0.0, len(sound) / RATE_HZ), begins, 1.0)
    others = () if spec.reader == SHIPPED else readers()  # the shipped clips sound alike on every machine
    ours = [reader for reader in (*others, SHIPPED) if reader != spec.reader] or [SHIPPED]
    return _with_agent(scene, ours[int(dice.integers(len(ours)))])


def _stand_in() -> str:
    return next((reader for reader in readers() if reader != HUMAN), SHIPPED)


def _with_agent(scene: Scene, reader: str) -> Scene:
    scene.agent = agent_track(reader)
    return scene


def _pauses(count: int, dice: np.random.Generator) -> list[float]:
    found = dice.lognormal(np.log(PAUSE_MEDIAN_S), PAUSE_SIGMA, count)
    return [float(pause) for pause in np.clip(found, 0.1, 3.5)]


def _gain(spec: Spec, dice: np.random.Generator) -> float:
    return float(10 ** ((spec.line.gain_db + dice.normal(0, 2.5)) / 20))


def _lay(scene: Scene, clip: Clip, at: float, gain: float) -> None:
    start = round((at - clip.lead_s) * RATE_HZ)
    scene.clean = clip.sound
    scene.sound[start : start + len(clip.sound)] += clip.sound * np.float32(gain)
    scene.words += [(word, at + end) for word, end in clip.words]
    scene.speech.append((at, at + clip.seconds))


def _bed(spec: Spec, seconds: float, dice: np.random.Generator) -> Sound:
    samples = round(seconds * 50) * FRAME
    others = () if spec.reader == SHIPPED else readers()
    talkers = tuple(agent_track(reader) for reader in (SHIPPED, *others))
    return steady(spec.line, samples, dice, talkers)


def _tone(name: str, seconds: float) -> Sound:
    samples = round(seconds * 50) * FRAME
    if name in ("ringback", "busy"):
        loop = tone("ringback" if name == "ringback" else "busy", RATE_HZ)
        pulled = [loop.pull() for _ in range(samples // FRAME)]
        return np.concatenate([frame for frame in pulled if frame is not None]).astype(np.float32)
    at = np.arange(samples) / RATE_HZ
    if name == "hum":
        hum = np.sin(2 * np.pi * 50 * at) + 0.6 * np.sin(2 * np.pi * 150 * at)
        return (hum * FULL_SCALE * 10 ** (-20 / 20)).astype(np.float32)
    if name == "sit":  # ITU-T E.180: three tones of a third of a second each, here every 3 s
        hz = np.select([at % 3 < 0.33, at % 3 < 0.66, at % 3 < 1.0], [950.0, 1400.0, 1800.0], 0.0)
        return (np.sin(2 * np.pi * hz * at) * (hz > 0) * FULL_SCALE * 10 ** (-13 / 20)).astype(np.float32)
    frames = []
    for number in range(samples // FRAME):
        digit, tick = divmod(number, TONE_TICKS + 15)
        frames.append(tone_frame("0123456789*#ABCD"[digit % 16], tick, RATE_HZ))
    silence = np.zeros(FRAME, np.int16)
    return np.concatenate([silence if frame is None else frame for frame in frames]).astype(np.float32)

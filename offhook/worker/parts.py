"""What a persona of the plan is made of: its tools, voice, lines, servers, and whom it may transfer to.

Small readings of the plan for cast.py, which puts agents together. Each raises ConfigError with a remedy."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from pipeline.agent.mcp import McpServer
from pipeline.agent.tools import FunctionTool, function_tool
from pipeline.errors import ConfigError
from pipeline.options import ThinkingSound
from pipeline.ports import Destination, Voice
from telephony.dialplan.model import Destination as PlanDestination
from telephony.dialplan.model import McpChoice, Persona
from telephony.errors import MediaError
from telephony.media.music import file_sound
from telephony.media.thinking import BUILT_IN


def check(part: str, model: type[BaseModel], values: Any) -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{part}: {faults}. Mend it in the dial plan.") from error


def check_file(sound: ThinkingSound) -> None:
    if sound.on and sound.sound not in BUILT_IN:
        try:
            file_sound(sound.sound, 8000)
        except MediaError as error:
            names = ", ".join(BUILT_IN)
            raise ConfigError(f"thinking_sound: {error} Or write one of {names}, off.") from error


def mcp_server(name: str, choice: McpChoice) -> McpServer:
    """A server as the plan describes it, secrets from the environment or `.env`. Raises ConfigError."""
    environ = {**dotenv_values(".env"), **os.environ}
    if missing := [key for key in (*choice.env_from, *choice.headers_env.values()) if not environ.get(key)]:
        raise ConfigError(f"MCP server {name!r} needs {missing[0]} from the environment. Put it into .env.")
    return McpServer(
        name,
        command=(_interpreter(choice.command[0]), *choice.command[1:]) if choice.command else (),
        url=choice.url,
        env={**choice.env, **{key: str(environ[key]) for key in choice.env_from}},
        headers={**choice.headers, **{head: str(environ[key]) for head, key in choice.headers_env.items()}},
        allow=choice.allow,
        prefix=choice.prefix,
        connect_timeout_s=choice.connect_timeout,
        call_timeout_s=choice.call_timeout,
    )


def _interpreter(program: str) -> str:
    """`python` is the one that runs us, with the packages that are installed beside us."""
    return sys.executable if program in ("python", "python3") else program


def script_of(persona: Persona) -> dict[str, Any]:
    return persona.script.model_dump(mode="json") if persona.script else {}


def collected(persona: Persona) -> dict[str, dict[str, Any]]:
    """What its intents ask callers for: intent → arguments of `make_task`."""
    intents = persona.script.intents if persona.script else ()
    return {intent.name: intent.collect.model_dump() for intent in intents if intent.collect}


def voice_of(persona: Persona, tts_name: str, *, own: bool) -> Voice:
    """own: does the first voice of the list speak? Its name and options mean nothing to another vendor."""
    if persona.voice is None:
        return Voice(language=persona.language)
    choice = persona.voice
    if not own:
        return Voice(choice.per_provider.get(tts_name, ""), persona.language, choice.speed)
    return Voice(choice.named(tts_name), persona.language, choice.speed, dict(choice.options))


def tool_at(path: str) -> FunctionTool:
    """A tool from the plan: a function, or one that already carries @function_tool."""
    found = imported(path)
    return found if isinstance(found, FunctionTool) else function_tool(found)


def imported(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # a user's module may raise anything while it is imported
        fact = f"cannot import {path!r} ({type(error).__name__}: {error})."
        raise ConfigError(f"{fact} Is the module installed or on PYTHONPATH?") from error


def destination(place: PlanDestination) -> Destination:
    return Destination(place.target, place.attended, place.ring, place.release, place.fallback)

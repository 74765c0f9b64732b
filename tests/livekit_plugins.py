"""`python -m tests.livekit_plugins`: which of the installed LiveKit plugins the bridge can make, as a table.

With dummy keys in the environment; nothing is asked of any server. For docs/providers/livekit.md: install plugins into
a virtual environment, run this there. Not a test: what is published changes."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version

from pipeline.errors import ConfigError
from pipeline.providers.keys import MissingKey
from pipeline.providers.livekit.loading import BASES, Blueprint, find, installed, option_types

DUMMY = "dummy-0123456789abcdef0123456789abcdef"
MOST_KEYS = 4  # that one plugin may ask for, one after the other
NOT_NAMED_BY_THEIR_ERRORS = ("AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION", "SPEECHMATICS_API_KEY")
KINDS = ("stt", "tts", "llm", "vad")


def verdict(kind: str, plugin: str) -> str:
    """What becomes of it, in a few words."""
    name = f"livekit/{plugin}"
    try:
        found = find(kind, name)
    except ConfigError as error:
        return (
            "–" if re.search("has no class|no LiveKit plugin 'local'", str(error)) else f"no: {_short(error)}"
        )
    blueprint = Blueprint(name, found, {})
    for _ in range(MOST_KEYS):
        try:
            blueprint.build()
            return f"yes, {len(option_types(found))} options"
        except MissingKey as missing:
            os.environ[missing.variable] = DUMMY
        except ConfigError as error:
            return f"no: {_short(error)}"
    return "no: asks for ever more keys"


def _short(error: Exception) -> str:
    text = re.sub(r"^.*?(cannot be (made|loaded):?|is missing) ?", "", str(error)).removesuffix(
        "Change its options."
    )
    return text.strip().replace("|", "/")[:110]


def main() -> None:
    """Print the table."""
    assert set(KINDS) == set(BASES)
    for variable in NOT_NAMED_BY_THEIR_ERRORS:
        os.environ.setdefault(variable, DUMMY)
    print(f"livekit-agents {version('livekit-agents')}, Python {sys.version.split()[0]}\n")
    print("| plugin | version | STT | TTS | LLM | VAD |\n|---|---|---|---|---|---|")
    for plugin in [*installed(), "local"]:
        try:
            what = version(f"livekit-plugins-{plugin}")
        except PackageNotFoundError:
            what = "with livekit-agents"
        print(f"| {plugin} | {what} | " + " | ".join(verdict(kind, plugin) for kind in KINDS) + " |")


if __name__ == "__main__":
    main()

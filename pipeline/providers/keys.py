"""API keys: from the environment or `.env`, and nowhere else; never shown again.

A provider asks here when it is made. Whoever puts a text of a provider's into an error, a log or a bundle passes it
through `redacted` first, since servers like to quote the key that they refuse."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache

from dotenv import dotenv_values

from pipeline.errors import ConfigError

MASK = "***"
KEY_SUFFIX = "_API_KEY"

_LOOKS_LIKE_KEY = re.compile(
    r"\b(?:sk|gsk|xi|pk|rk)[-_][A-Za-z0-9_*-]{8,}|\bAIza[\w-]{20,}|\bBearer\s+[\w.~+/-]{8,}"
)
_handed_out: set[str] = set()


class MissingKey(ConfigError):
    """A provider cannot be used because its key is not there. variable: where it is looked for."""

    def __init__(self, provider: str, variable: str) -> None:
        super().__init__(f"{provider} needs {variable}. Set it in the environment or in .env.")
        self.provider, self.variable = provider, variable


def environment() -> Mapping[str, str]:
    """What the environment and, behind it, `.env` of the folder we run in say."""
    return {**_env_file(), **os.environ}


def api_key(provider: str, *variables: str) -> str:
    """The first of these variables that is set. Raises MissingKey naming the first."""
    found = environment()
    for variable in variables:
        if key := found.get(variable, "").strip():
            _handed_out.add(key)
            return key
    raise MissingKey(provider, variables[0])


def without_keys(environ: Mapping[str, str], variables: Iterable[str] = ()) -> dict[str, str]:
    """An environment for a process that must not use keys: those in `environ` or `.env`, and `variables`, are blank.

    Blank and not absent: behind the environment stands `.env`."""
    ours = {name for name in (*environ, *_env_file()) if name.endswith(KEY_SUFFIX)}
    return {**environ, **dict.fromkeys([*ours, *variables], "")}


def redacted(text: str) -> str:
    """The text without keys: those we hold, and what looks like one."""
    for key in _handed_out:
        text = text.replace(key, MASK)
    return _LOOKS_LIKE_KEY.sub(MASK, text)


@cache
def _env_file() -> Mapping[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}

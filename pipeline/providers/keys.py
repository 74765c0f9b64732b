"""API keys: from the environment or `.env`, and nowhere else; never shown again.

A provider asks here when it is made. Whoever puts a text of a provider's into an error, a log or a bundle passes it
through `redacted` first, since servers like to quote the key that they refuse."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

from dotenv import dotenv_values

from pipeline.errors import ConfigError

MASK = "***"

_LOOKS_LIKE_KEY = re.compile(
    r"\b(?:sk|gsk|xi|pk|rk)[-_][A-Za-z0-9_*-]{8,}|\bAIza[\w-]{20,}|\bBearer\s+[\w.~+/-]{8,}"
)
_SECRET = re.compile(
    r"(api|access|auth|secret|private|subscription)_?(key|token|secret)|password|credential|^token$|_secret$"
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


def is_secret(option: str) -> bool:
    """Does an option of that name hold what must not stand in a plan?"""
    return _SECRET.search(option.lower()) is not None


def redacted(text: str) -> str:
    """The text without keys: those we hold, and what looks like one."""
    for key in _handed_out:
        text = text.replace(key, MASK)
    return _LOOKS_LIKE_KEY.sub(MASK, text)


@cache
def _env_file() -> Mapping[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}

"""API keys: from the environment or `.env`, and nowhere else; never shown again.

A provider asks here when it is made. Servers like to quote the key that they refuse: ProviderError and the log mask it,
and whoever puts a text of a provider's elsewhere passes it through `redacted` first."""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Iterable, Mapping
from functools import cache

from dotenv import dotenv_values

from pipeline.errors import ConfigError
from pipeline.masking import never_show, redacted

__all__ = ["KEY_SUFFIX", "MissingKey", "api_key", "environment", "hide", "redacted", "without_keys"]

KEY_SUFFIX = "_API_KEY"
_SECRET = re.compile(
    r"(api|access|auth|secret|private|subscription)_?(key|token|secret)|password|credential|^token$|_secret$"
)


class MissingKey(ConfigError):
    """A provider cannot be used because its key is not there. variable: where it is looked for."""

    def __init__(self, provider: str, variable: str) -> None:
        super().__init__(f"{provider} needs {variable}. Set it in the environment or in .env.")
        self.provider, self.variable = provider, variable


def environment() -> Mapping[str, str]:
    """What the environment and, behind it, `.env` of the folder we run in say."""
    return ChainMap(os.environ, _env_file())


def api_key(provider: str, *variables: str) -> str:
    """The first of these variables that is set. Raises MissingKey naming the first."""
    found = environment()
    for variable in variables:
        if key := found.get(variable, "").strip():
            never_show(key)
            return key
    raise MissingKey(provider, variables[0])


def hide(variables: Iterable[str] = ()) -> None:
    """Have the keys of the environment masked from now on: those in `variables`, and all that are called so.

    A provider of a third party may read the environment itself."""
    for name, value in environment().items():
        if name.endswith(KEY_SUFFIX) or name in set(variables):
            never_show(value.strip())


def without_keys(environ: Mapping[str, str], variables: Iterable[str] = ()) -> dict[str, str]:
    """An environment for a process that must not use keys: those in `environ` or `.env`, and `variables`, are blank.

    Blank and not absent: behind the environment stands `.env`."""
    ours = {name for name in (*environ, *_env_file()) if name.endswith(KEY_SUFFIX)}
    return {**environ, **dict.fromkeys([*ours, *variables], "")}


def is_secret(option: str) -> bool:
    """Does an option of that name hold what must not stand in a plan?"""
    return _SECRET.search(option.lower()) is not None


@cache
def _env_file() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}

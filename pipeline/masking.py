"""Keys are not shown: what is known to be one, or looks like one, is masked in errors and logs. Pure.

Keys are made known by pipeline/providers/keys.py, which is where providers get theirs."""

from __future__ import annotations

import re

MASK = "***"
SHORTEST = 8  # letters of what is masked wherever it stands; less would be a word of many a sentence

_LOOKS_LIKE_KEY = re.compile(
    r"\b(?:sk|gsk|xi|pk|rk)[-_][A-Za-z0-9_*-]{8,}|\bAIza[\w-]{20,}|\bBearer\s+[\w.~+/-]{8,}"
)
_known: set[str] = set()


def never_show(key: str) -> None:
    """From now on this is masked."""
    if len(key) >= SHORTEST:
        _known.add(key)


def redacted(text: str) -> str:
    """The text without keys: those we know, and what looks like one."""
    for key in _known:
        text = text.replace(key, MASK)
    return _LOOKS_LIKE_KEY.sub(MASK, text)

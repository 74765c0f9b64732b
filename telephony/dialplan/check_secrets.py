"""Keys and passwords written into a plan: it is shared, versioned and shown in the console. Pure.

Found by what they look like; keys that are called secret are check.py's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from telephony.dialplan.document import Loc, Plain
from telephony.dialplan.finding import Finding

_LOOKS = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|sk_[A-Za-z0-9]{24,}|gsk_[A-Za-z0-9]{20,}|AIza[A-Za-z0-9_-]{30,}|AKIA[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|xox[abp]-[A-Za-z0-9-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,})"
    r"|\bBearer [A-Za-z0-9._~+/-]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY|\b[a-z]+://[^\s/:@]+:[^\s/:@]+@"
)
_PASSED_OVER = (
    "numbers",
    "tests",
    "version",
    "imports",
)  # there is no room for one, and there may be very many


def check_secrets(value: Plain, loc: Loc = ()) -> Iterator[Finding]:
    """Texts that look like a secret."""
    if isinstance(value, dict):
        for key, item in value.items():
            if loc or key not in _PASSED_OVER:
                yield from check_secrets(item, (*loc, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from check_secrets(item, (*loc, at))
    elif isinstance(value, str) and _LOOKS.search(value):
        yield Finding(
            loc, "this looks like a secret. Put it into .env, remove it here, and have it replaced."
        )

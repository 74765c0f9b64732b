"""Who may use the console's API: bearer tokens (RFC 6750), roles, and the log of what was done.

Tokens are known by their SHA-256 only; the switch hands those over in the environment. Driven by plan_api.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from offhook.plans.versions import append_line

ROLES = ("viewer", "editor", "admin")  # each may do all that those before it may


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever has a token. sha256: of the token, hex."""

    name: str
    role: str
    sha256: str

    def may(self, role: str) -> bool:
        """Is this holder's role that one, or more?"""
        return ROLES.index(self.role) >= ROLES.index(role)


class Access:
    """The holders, and the audit log: one JSON line a request, also of those that were turned away."""

    def __init__(self, holders: Sequence[Holder], log: Path) -> None:
        self._holders, self._log = tuple(holders), log

    @classmethod
    def told(cls, environ: Mapping[str, str], variable: str, log: Path) -> Access:
        """As the switch told it."""
        return cls([Holder(**row) for row in json.loads(environ.get(variable) or "[]")], log)

    @property
    def log_path(self) -> Path:
        return self._log

    def holder(self, header: str) -> Holder | None:
        """Whose token an Authorization header has. Compared in constant time, with all of them."""
        kind, _, token = header.strip().partition(" ")
        if kind.lower() != "bearer":
            return None
        digest = sha256(token.strip().encode()).hexdigest()
        found = [holder for holder in self._holders if compare_digest(holder.sha256, digest)]
        return found[0] if found else None

    def log(self, entry: Deed) -> None:
        """Write it down. Raises VersionsError if that cannot be done: then nothing may be changed either."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        append_line(self._log, {"at": at, **asdict(entry)})


@dataclass(frozen=True, slots=True)
class Deed:
    """One line of the audit log. who: "" for nobody we know. status: HTTP, of the answer."""

    who: str
    role: str
    source: str
    method: str
    path: str
    status: int
    version: str = ""
    reason: str = ""

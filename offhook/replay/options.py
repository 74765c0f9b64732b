"""How a recording is replayed: against which plan, on which clock, with which providers. Plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from offhook.replay.caller import Placement
from offhook.replay.recording import Reading
from offhook.settings import Providers

CassetteMode: TypeAlias = Literal["auto", "off", "record", "replay", "replay-or-live"]
KINDS = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """out: where bundles go. to: the number that is called, "" for the recording's own; agent: a persona instead.

    reading: what files do not say of their channels. seed: for ids. caller: see caller.py. cassette: `auto` plays the
    recording's tape if there is one, else none.
    delays_s: kind (stt, llm, tts) → how much slower that provider is. realtime: on the wall clock.
    via: SIP address of a server that is phoned instead; server_calls: where it keeps its records."""

    out: Path
    plan: Path
    providers: Providers = field(default_factory=Providers)
    to: str = ""
    agent: str = ""
    reading: Reading = field(default_factory=Reading)
    seed: int = 0
    caller: Placement = "fixed"
    cassette: CassetteMode = "auto"
    delays_s: Mapping[str, float] = field(default_factory=dict)
    realtime: bool = False
    via: str = ""
    server_calls: Path | None = None

    def facts(self) -> dict[str, Any]:
        """As the bundle notes them: what decides about the result, but neither paths nor secrets."""
        return {
            "to": self.to,
            "agent": self.agent,
            "caller_channel": self.reading.caller_channel or "",
            "mono": self.reading.mono or "",
            "seed": self.seed,
            "caller": self.caller,
            "cassette": self.cassette,
            "delays_s": dict(sorted(self.delays_s.items())),
            "clock": "sip" if self.via else "real" if self.realtime else "virtual",
        }

    def digest(self) -> str:
        """Changes with everything that a result depends on, the plan's text included."""
        providers = self.providers.model_dump(mode="json")
        known = {
            **asdict(replace(self, out=Path(), plan=Path(), providers=Providers())),
            "providers": providers,
        }
        text = json.dumps(known, sort_keys=True, default=str)
        return hashlib.sha256(text.encode() + self.plan.read_bytes()).hexdigest()[:16]

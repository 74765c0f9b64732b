"""All conformance checks, in the order of the table in docs/providers.md."""

from __future__ import annotations

from pipeline.providers.registry import Kind
from pipeline.testing.conformance import llm, stt, tts, vad
from pipeline.testing.conformance.subject import Check

CHECKS: tuple[Check, ...] = (*stt.CHECKS, *llm.CHECKS, *tts.CHECKS, *vad.CHECKS)


def checks_for(kind: Kind) -> list[Check]:
    """What a provider of this kind must pass."""
    return [check for check in CHECKS if check.kind == kind]

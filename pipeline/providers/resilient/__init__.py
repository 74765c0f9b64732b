"""Providers in order of preference that stand in for each other, so that the caller does not notice when one fails.

`FallbackStt`, `FallbackLlm` and `FallbackTts` satisfy the Protocols of pipeline/ports.py; a call has its own. Their
`Member`s, each with the circuit breaker of one provider, are shared by all calls of a worker."""

from pipeline.providers.resilient.breaker import Breaker, Rest
from pipeline.providers.resilient.llm import FallbackLlm, probe_llm
from pipeline.providers.resilient.member import Member
from pipeline.providers.resilient.policy import Cheapest, Fastest, Ordered, Policy, Routing, Split, Terms
from pipeline.providers.resilient.stt import FallbackStt, probe_stt
from pipeline.providers.resilient.team import Patience
from pipeline.providers.resilient.tts import FallbackTts, probe_tts

__all__ = [
    "Breaker",
    "Cheapest",
    "FallbackLlm",
    "FallbackStt",
    "FallbackTts",
    "Fastest",
    "Member",
    "Ordered",
    "Patience",
    "Policy",
    "Rest",
    "Routing",
    "Split",
    "Terms",
    "probe_llm",
    "probe_stt",
    "probe_tts",
]

"""Does a provider keep the contract of pipeline/ports.py? For whoever writes one; docs/providers.md shows how.

subject  what is examined: the provider, its test server's difficulties, and the verdict
checks   all of them, by kind of provider
llm, stt, tts, vad   what each kind must do

    @pytest.mark.parametrize("check", checks_for("llm"), ids=str)
    async def test_acme_keeps_the_contract(check: Check) -> None:
        (await examine(Subject("llm", lambda text: AcmeLlm(base_url=server.says(text)), server), check)).must_pass()
"""

from pipeline.testing.conformance.checks import CHECKS, checks_for
from pipeline.testing.conformance.subject import (
    Check,
    Difficulties,
    NotConforming,
    Result,
    Subject,
    Trouble,
    examine,
)

__all__ = [
    "CHECKS",
    "Check",
    "Difficulties",
    "NotConforming",
    "Result",
    "Subject",
    "Trouble",
    "checks_for",
    "examine",
]

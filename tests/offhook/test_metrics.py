"""What operators read about calls that never noticed anything."""

from __future__ import annotations

from offhook.switch.metrics import Metrics
from pipeline.events import ProviderRecovered, ProviderSwitched, dump


def test_a_stand_in_is_counted_with_whom_it_stood_in_for_and_why() -> None:
    metrics = Metrics()
    metrics.saw(dump(ProviderSwitched(1.0, "llm", "groq", "scripted", "timeout")))
    metrics.saw(dump(ProviderRecovered(9.0, "llm", "groq")))
    text = metrics.text().decode()
    assert 'offhook_provider_switches_total{cause="timeout",kind="llm",old="groq"} 1.0' in text
    assert 'offhook_provider_recoveries_total{kind="llm",provider="groq"} 1.0' in text

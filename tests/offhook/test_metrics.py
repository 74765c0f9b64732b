"""What operators read about calls that never noticed anything."""

from __future__ import annotations

from offhook.switch.metrics import Metrics
from pipeline.events import AgentStartedSpeaking, ProviderRecovered, ProviderSwitched, dump


def test_a_stand_in_is_counted_with_whom_it_stood_in_for_and_why() -> None:
    metrics = Metrics()
    metrics.saw(dump(ProviderSwitched(1.0, "llm", "groq", "scripted", "timeout")))
    metrics.saw(dump(ProviderRecovered(9.0, "llm", "groq")))
    text = metrics.text().decode()
    assert 'offhook_provider_switches_total{cause="timeout",kind="llm",old="groq"} 1.0' in text
    assert 'offhook_provider_recoveries_total{kind="llm",provider="groq"} 1.0' in text


def test_every_part_of_a_response_delay_has_its_histogram() -> None:
    metrics = Metrics()
    metrics.saw(dump(AgentStartedSpeaking(9.0, "desk", 900.0, 400.0, 50.0, 300.0, 0.0, 130.0, 20.0)))
    metrics.saw(dump(AgentStartedSpeaking(9.0, "desk")))  # a greeting answers nobody
    text = metrics.text().decode()
    for part, seconds in (
        ("wait", 0.4),
        ("stt", 0.05),
        ("llm", 0.3),
        ("tool", 0.0),
        ("tts", 0.13),
        ("own", 0.02),
    ):
        assert f'offhook_delay_part_seconds_sum{{part="{part}"}} {seconds}' in text
        assert f'offhook_delay_part_seconds_count{{part="{part}"}} 1.0' in text


def test_how_a_caller_sounded_is_counted_at_the_end_of_the_call() -> None:
    """Jitter, loss and MOS; a call without a packet says nothing of the kind."""
    metrics = Metrics()
    metrics.heard({"received": 500, "jitter_ms": 4.0, "missing": 0.02, "mos": 4.2})
    metrics.heard({"received": 0, "jitter_ms": 0.0, "missing": 0.0, "mos": None})
    metrics.heard({})
    text = metrics.text().decode()
    assert "offhook_call_jitter_seconds_sum 0.004" in text
    assert "offhook_call_loss_ratio_sum 0.02" in text
    assert "offhook_call_mos_sum 4.2" in text
    assert "offhook_call_jitter_seconds_count 1.0" in text

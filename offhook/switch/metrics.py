"""What operators scrape: counters and gauges of the switch, in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from offhook.switch.active import ActiveCall
from offhook.switch.pool import Pool

DELAYS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
MOS = (1.5, 2.0, 2.5, 3.1, 3.6, 4.0, 4.3)  # 3.1, 3.6, 4.0, 4.3: ITU-T G.107 annex B, table B.1
PARTS: Final = {  # of a response delay: its field in AgentStartedSpeaking
    "wait": "waited_ms",
    "stt": "stt_ms",
    "llm": "llm_ms",
    "tool": "tool_ms",
    "tts": "tts_ms",
    "own": "own_ms",
}
PARTS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
JITTERS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
LOSSES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SETUPS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)


class Metrics:
    """Names and help texts are the documentation; docs/operations.md says what to watch."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.calls = Gauge("offhook_calls", "Calls in progress", registry=r)
        self.states = Gauge(
            "offhook_calls_by_state", "Calls in progress: ringing, talking, ending", ["state"], registry=r
        )
        self.ended = Counter("offhook_calls_ended", "Calls that are over", ["cause"], registry=r)
        self.refused = Counter("offhook_calls_refused", "Calls that were not answered", ["code"], registry=r)
        self.mos = Histogram(
            "offhook_call_mos",
            "How callers sounded to us: E-model mean opinion score of each call",
            buckets=MOS,
            registry=r,
        )
        self.tones = Counter("offhook_tones_heard", "Signals of networks and machines", ["kind"], registry=r)
        self.setup = Histogram("offhook_call_setup_seconds", "INVITE to 200", buckets=SETUPS_S, registry=r)
        self.agent_ready = Histogram(
            "offhook_agent_ready_seconds",
            "How long a call waited in its worker for an agent that can speak",
            buckets=SETUPS_S,
            registry=r,
        )
        self.jitter = Histogram(
            "offhook_call_jitter_seconds",
            "Interarrival jitter of each call's caller at its end (RFC 3550 A.8)",
            buckets=JITTERS_S,
            registry=r,
        )
        self.loss = Histogram(
            "offhook_call_loss_ratio",
            "Share of each caller's packets that were lost or too late",
            buckets=LOSSES,
            registry=r,
        )
        self.part = Histogram(
            "offhook_delay_part_seconds",
            "Parts of the response delay: wait, stt, llm, tool, tts, own",
            ["part"],
            buckets=PARTS_S,
            registry=r,
        )
        self.delay = Histogram(
            "offhook_response_delay_seconds",
            "Caller's last speech to our first packet",
            buckets=DELAYS_S,
            registry=r,
        )
        self.own_delay = Histogram(
            "offhook_own_delay_seconds",
            "The part of the response delay that is neither waiting nor a provider",
            buckets=(0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.5),
            registry=r,
        )
        self.barge_ins = Counter("offhook_barge_ins", "Times a caller interrupted an agent", registry=r)
        self.handoffs = Counter("offhook_handoffs", "Times an agent handed over to another", registry=r)
        self.provider_errors = Counter(
            "offhook_provider_errors",
            "Failures of speech and language providers",
            ["kind", "cause"],
            registry=r,
        )
        self.provider_switches = Counter(
            "offhook_provider_switches",
            "Times another provider stood in for one",
            ["kind", "old", "cause"],
            registry=r,
        )
        self.provider_recoveries = Counter(
            "offhook_provider_recoveries",
            "Times a replaced provider served again",
            ["kind", "provider"],
            registry=r,
        )
        self.worker_restarts = Gauge(
            "offhook_worker_restarts", "Workers that died and were replaced", registry=r
        )
        self.switch_restarts = Gauge(
            "offhook_switch_restarts", "Switches that died since the server was started", registry=r
        )
        self.calls_adopted = Counter(
            "offhook_calls_adopted", "Calls of a switch that died which this one goes on with", registry=r
        )
        self.takeovers = Counter("offhook_takeovers", "Calls that outlived their worker", registry=r)
        self.given_up = Counter(
            "offhook_calls_given_up",
            "Calls that took workers down, or that no worker was left for",
            registry=r,
        )
        self.too_big = Counter(
            "offhook_workers_too_big", "Workers whose calls were moved because of their memory", registry=r
        )
        self.moved = Counter(
            "offhook_calls_moved", "Calls that were moved to another worker on purpose (reload)", registry=r
        )
        self.reloads = Counter("offhook_reloads", "Times the workers were replaced by new ones", registry=r)
        self.retiring_calls = Gauge(
            "offhook_retiring_calls", "Calls that are still with workers that take no new ones", registry=r
        )
        self.blocked = Counter(
            "offhook_loops_blocked",
            "Times some code kept a worker's clock waiting for more than 100 ms; the log has its stack",
            registry=r,
        )
        self.full = Gauge("offhook_full", "1 while no worker may take another call", registry=r)
        self.wedged = Counter("offhook_workers_wedged", "Workers killed because they stood still", registry=r)
        self.stand_ins = Counter(
            "offhook_silence_sent",
            "Packets the switch sent in place of a worker that stood still",
            registry=r,
        )
        self.workers_ready = Gauge(
            "offhook_workers_ready", "Workers that can take calls, the spare included", registry=r
        )
        self.worker_calls = Gauge("offhook_worker_calls", "Calls per worker", ["worker"], registry=r)
        self.worker_late = Gauge(
            "offhook_worker_late_p99_ms",
            "Packets against their 20 ms grid, last second",
            ["worker"],
            registry=r,
        )
        self.worker_cpu = Gauge("offhook_worker_cpu", "Share of a core, last second", ["worker"], registry=r)
        self.worker_memory = Gauge(
            "offhook_worker_memory_bytes", "Resident memory per worker", ["worker"], registry=r
        )
        self.worker_resting = Gauge(
            "offhook_worker_resting_providers",
            "Providers that are left alone because they fail, per worker",
            ["worker"],
            registry=r,
        )
        self.tasks = Gauge("offhook_tasks", "asyncio tasks per process", ["process"], registry=r)
        self.gate = Gauge(
            "offhook_sip_gate",
            "Requests outside calls by what became of them; `banned` counts sources",
            ["verdict"],
            registry=r,
        )
        self.registered = Gauge(
            "offhook_trunk_registered", "1 while we are logged in at the trunk", ["trunk"], registry=r
        )
        self.trunk_up = Gauge(
            "offhook_trunk_up", "1 while the trunk answers our OPTIONS (keepalive_s)", ["trunk"], registry=r
        )
        self.malformed = Gauge("offhook_sip_malformed", "SIP datagrams that could not be read", registry=r)

        self.plan = Gauge(
            "offhook_plan", "1 for the version of the dial plan in use", ["version"], registry=r
        )
        self.plan_changes = Counter(
            "offhook_plan_changes", "Saved dial plans by what became of them", ["result"], registry=r
        )
        self.plan_rejected = Gauge(
            "offhook_plan_refused",
            "1 while the dial plan on disk is refused and an older one in use",
            registry=r,
        )
        self.plan_stall = Gauge(
            "offhook_plan_stall_seconds", "The longest wait of the switch during the last change", registry=r
        )

    def plan_in_use(self, version: str) -> None:
        """Calls are routed by this version."""
        self.plan.clear()
        self.plan.labels(version).set(1)
        self.plan_rejected.set(0)

    def plan_changed(self, version: str) -> None:
        """A saved plan has replaced the one before."""
        self.plan_in_use(version)
        self.plan_changes.labels("in_use").inc()

    def plan_refused(self) -> None:
        """A saved plan cannot be used."""
        self.plan_changes.labels("refused").inc()
        self.plan_rejected.set(1)

    def saw(self, event: dict[str, Any]) -> None:
        """Count what a conversation event says."""
        if event.get("line") == "consultation":
            return  # a colleague is no caller
        match event.get("type"):
            case "AgentStartedSpeaking" if event.get("response_delay_ms") is not None:
                self.delay.observe(event["response_delay_ms"] / 1000)
                self.own_delay.observe(event["own_ms"] / 1000)
                for part, field in PARTS.items():
                    if event.get(field) is not None:
                        self.part.labels(part).observe(event[field] / 1000)
            case "ToneHeard":
                self.tones.labels(str(event.get("kind", ""))).inc()
            case "CallerInterrupted":
                self.barge_ins.inc()
            case "AgentEntered" if event.get("came_from"):
                self.handoffs.inc()
            case "ProviderFailed":
                self.provider_errors.labels(event.get("kind", ""), event.get("cause", "")).inc()
            case "ProviderSwitched":
                labels = (event.get(name, "") for name in ("kind", "old", "cause"))
                self.provider_switches.labels(*labels).inc()
            case "ProviderRecovered":
                self.provider_recoveries.labels(event.get("kind", ""), event.get("provider", "")).inc()

    def heard(self, media: dict[str, Any]) -> None:
        """How a call sounded: its media report, as the worker gives it at the end."""
        if isinstance(mos := media.get("mos"), float):
            self.mos.observe(mos)
        if media.get("received"):
            self.jitter.observe(media["jitter_ms"] / 1000)
            self.loss.observe(media["missing"])

    def look_at(self, calls: Iterable[ActiveCall], pool: Pool, retiring_calls: int) -> None:
        """Bring up to date what is not counted as it happens."""
        self.retiring_calls.set(retiring_calls)
        self.full.set(bool(pool.full))
        self.worker_restarts.set(pool.restarts)
        states = {"ringing": 0, "talking": 0, "ending": 0}
        for active in calls:
            states["ending" if active.leaving else "talking" if active.answered else "ringing"] += 1
        for state, count in states.items():
            self.states.labels(state).set(count)
        per_worker = (self.worker_late, self.worker_memory, self.worker_resting, self.worker_cpu)
        for gauge in (self.worker_calls, *per_worker):
            gauge.clear()  # of workers that are gone
        for worker in pool.workers:
            name, load = str(worker.number), worker.load
            self.worker_calls.labels(name).set(len(worker.calls))
            if load is not None:
                values = load.late_p99_ms, load.memory_bytes, load.resting, load.cpu
                for gauge, value in zip(per_worker, values, strict=True):
                    gauge.labels(name).set(value)
                self.tasks.labels(f"worker {name}").set(load.tasks)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

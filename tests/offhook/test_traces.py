"""Finished calls reach a tracing system as OpenTelemetry has it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from offhook.bundle import Bundle, iso
from offhook.console.spans import NS, spans_of
from offhook.console.traces import tracing

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CALL_ID = "38e65844329b4203af4cac1e60cce00d"
EVENTS: list[dict[str, Any]] = [
    {"type": "CallArrived", "at": 10.0},
    {"type": "CallerStartedSpeaking", "at": 11.1, "since": 11.0},
    {
        "type": "UserTurnCommitted",
        "at": 12.5,
        "text": "my number is 4711",
        "spoke_until": 12.0,
        "stt_ms": 100.0,
    },
    {"type": "ToolCalled", "at": 12.9, "id": "t", "name": "look_up", "arguments": '{"number": "4711"}'},
    {"type": "ToolFinished", "at": 13.1, "id": "t", "name": "look_up", "ok": False},
    {
        **{"type": "AgentStartedSpeaking", "at": 13.4, "response_delay_ms": 1400.0, "waited_ms": 500.0},
        **{"stt_ms": 100.0, "llm_ms": 300.0, "tool_ms": 200.0, "tts_ms": 200.0, "own_ms": 100.0},
    },
    {"type": "CallTakenOver", "at": 14.0, "worker": 0, "by": 1, "noticed_after_ms": 25},
    {"type": "CallEnded", "at": 15.0},
]


def write_call(root: Path) -> Path:
    with Bundle.create(root, CALL_ID, NOON, {"caller": "+15550100", "agent": "desk"}) as bundle:
        for event in EVENTS:
            happened = NOON + timedelta(seconds=event["at"] - 10.0)
            bundle.append(
                {name: value for name, value in event.items() if name != "at"}, event["at"], happened
            )
        bundle.close({"ended": iso(NOON), "duration_s": 5.0, "cause": "caller_hung_up", "code": 200})
    return bundle.path


def test_the_parts_of_a_delay_follow_each_other_from_the_last_word_to_the_first_packet() -> None:
    wall = [{**event, "wall": iso(NOON + timedelta(seconds=event["at"] - 10.0))} for event in EVENTS]
    spans = spans_of({"cause": "caller_hung_up"}, wall, words=False)
    noon = round(NOON.timestamp() * NS)
    seen = [
        (span.name, round((span.start - noon) / NS, 3), round((span.end - noon) / NS, 3), span.parent)
        for span in spans
    ]
    assert seen == [
        ("call", 0.0, 5.0, None),
        ("user_turn", 1.0, 3.4, 0),
        ("tool", 2.9, 3.1, 1),
        ("stt", 2.5, 2.6, 1),
        ("llm", 2.6, 2.9, 1),
        ("tts", 3.1, 3.3, 1),
    ]
    assert spans[2].failed and [name for _, name, _ in spans[0].notes] == ["CallTakenOver"]


def test_a_journal_that_is_empty_makes_no_spans() -> None:
    assert spans_of({}, [], words=True) == []


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OTLP/HTTP receiver: its URL, and (path, body) of what came."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("words", [False, True])
def test_a_receiver_gets_a_trace_that_is_named_like_the_call(tmp_path: Path, words: bool) -> None:
    """OTLP/HTTP: POST /v1/traces with an ExportTraceServiceRequest; what was said only where that is wanted."""
    trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    path = write_call(tmp_path)
    with receiver() as (url, got):
        with tracing(url, words) as traces:
            assert traces.send(path) == 6
        assert [where for where, _ in got] == ["/v1/traces"]
        request = trace_service.ExportTraceServiceRequest.FromString(got[0][1])
    spans = [
        span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]
    assert {span.trace_id.hex() for span in spans} == {CALL_ID}
    by_name = {span.name: span for span in spans}
    assert set(by_name) == {"call", "user_turn", "stt", "llm", "tts", "tool"}
    assert by_name["llm"].parent_span_id == by_name["user_turn"].span_id
    assert by_name["user_turn"].parent_span_id == by_name["call"].span_id
    assert by_name["call"].end_time_unix_nano - by_name["call"].start_time_unix_nano == 5 * NS
    assert (b"4711" in got[0][1]) is words
    assert b"5550100" not in got[0][1]

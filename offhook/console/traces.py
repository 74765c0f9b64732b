"""Finished calls as OpenTelemetry traces, to an OTLP/HTTP receiver; the trace's id is the call's.

In the console process, from the bundle, once the call is over: neither switch nor workers know of it. Needs the extra
`traces`. Spans that the receiver does not take are dropped after a while; the journal has it all."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offhook.bundle import Record
from offhook.console.spans import Span, spans_of
from offhook.errors import OffhookError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

INSTALL = "pip install 'offhook[traces]'"


class Tracing:
    """Sends calls. words: with what was said."""

    def __init__(self, tracer: Tracer, ids: CallIds, words: bool) -> None:
        self._tracer, self._ids, self._words = tracer, ids, words

    def send(self, path: Path) -> int:
        """Queue the call of a bundle. Returns how many spans. Raises BundleError."""
        record = Record.read(path)
        spans = spans_of(record.facts, record.events, self._words)
        self._ids.call_id = path.name
        made: list[Any] = []
        for span in spans:
            made.append(self._begin(span, made, path.name))
        for span, sdk in zip(reversed(spans), reversed(made), strict=True):
            sdk.end(end_time=max(span.end, span.start))
        return len(spans)

    def _begin(self, span: Span, made: list[Any], call_id: str) -> Any:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        parent = set_span_in_context(made[span.parent]) if span.parent is not None else None
        named = {f"offhook.{name}": value for name, value in span.attributes.items()}
        if parent is None:
            named["offhook.call_id"] = call_id
        sdk = self._tracer.start_span(span.name, parent, attributes=named, start_time=span.start)
        for at, name, details in span.notes:
            sdk.add_event(name, {f"offhook.{key}": value for key, value in details.items()}, timestamp=at)
        if span.failed:
            sdk.set_status(Status(StatusCode.ERROR, span.failed))
        return sdk


class CallIds:
    """Where ids come from: the trace of a call is named like the call, which is how one finds it."""

    def __init__(self) -> None:
        self.call_id = ""

    def generate_trace_id(self) -> int:
        """128 bits, never 0."""
        try:
            number = int(self.call_id, 16)
        except ValueError:
            number = 0
        if 0 < number < 1 << 128:
            return number
        return int.from_bytes(hashlib.sha256(self.call_id.encode()).digest()[:16], "big") or 1

    def generate_span_id(self) -> int:
        """64 bits, never 0."""
        return secrets.randbits(64) or 1

    def is_trace_id_random(self) -> bool:
        """The SDK may say so to others; ours need not be."""
        return False


@contextmanager
def tracing(endpoint: str, words: bool) -> Iterator[Tracing]:
    """Send to this receiver until left, what waits included. Raises OffhookError if the extra is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise OffhookError(f"traces.endpoint is set, but {error.name} is missing. {INSTALL}") from error
    ids: Any = CallIds()  # shaped like the SDK's IdGenerator, which cannot be imported before it is needed
    provider = TracerProvider(
        resource=Resource.create({"service.name": "offhook"}), id_generator=ids, shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    try:
        yield Tracing(provider.get_tracer("offhook"), ids, words)
    finally:
        provider.shutdown()

"""How processes log: an event name plus fields, as JSON lines or for people, on standard error.

Words, digits and numbers that people spoke or dialled go only into fields that begin with `pii_`. Keys are masked
wherever they stand, in tracebacks too: an SDK's exceptions quote what it sent."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from offhook.settings import LogSettings
from offhook.whose import CALL
from pipeline.masking import redacted

# Without the values of variables: among them are keys, passwords and what callers said.
TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logs(settings: LogSettings) -> None:
    """Set up structlog for this process. Safe to call again."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_call,
            *([_without_people] if settings.redact else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            TRACEBACKS if settings.format == "json" else structlog.processors.format_exc_info,
            _masked(last),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _with_call(logger: Any, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Every line about a call has its `call_id`, whoever writes it."""
    if "call_id" not in event and (call_id := CALL.get()):
        event["call_id"] = call_id
    return event


def _without_people(logger: Any, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """`***` for what people said, dialled or are called, however deep it stands in a field."""
    hidden: structlog.typing.EventDict = _hide(event)
    return hidden


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "***" if str(key).startswith("pii_") else _hide(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_hide(inner) for inner in value) if type(value) in (list, tuple) else value
    return value


def _masked(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """The line without keys."""

    def line(logger: Any, name: str, event: structlog.typing.EventDict) -> str:
        return redacted(str(render(logger, name, event)))

    return line

"""How processes log: an event name plus fields, as JSON lines or for people, on standard error.

Words, digits and numbers that people spoke or dialled go only into fields that begin with `pii_`. Keys are masked
wherever they stand, in tracebacks too: an SDK's exceptions quote what it sent."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from offhook.settings import LogSettings
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
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            TRACEBACKS if settings.format == "json" else structlog.processors.format_exc_info,
            _masked(last),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _masked(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """The line without keys."""

    def line(logger: Any, name: str, event: structlog.typing.EventDict) -> str:
        return redacted(str(render(logger, name, event)))

    return line

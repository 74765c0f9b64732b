"""`python -m offhook.console`: the console as a process of its own, started by the switch."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

from offhook.console.access import Access
from offhook.console.plan_api import PlanApi
from offhook.console.records import beside
from offhook.console.server import serve
from offhook.console.traces import tracing
from offhook.errors import OffhookError
from offhook.logs import configure_logs
from offhook.settings import ACCESS_VARIABLE, LogSettings

log = structlog.get_logger()


def main() -> None:
    """Read the command line and serve until told to stop."""
    options = argparse.ArgumentParser(prog="python -m offhook.console", description=__doc__)
    options.add_argument("--calls-dir", type=Path, required=True, help="where the bundles are")
    options.add_argument("--database", help="URL of the index; beside the bundles if not given")
    options.add_argument("--host", default="127.0.0.1", help="address for HTTP")
    options.add_argument("--port", type=int, default=0, help="port for HTTP; 0 takes a free one")
    options.add_argument(
        "--link-fd", type=int, help="inherited descriptor on which the switch tells of calls"
    )
    options.add_argument("--dialplan", type=Path, help="the dial plan that its API reads and changes")
    options.add_argument(
        "--plan-versions", type=Path, help="where versions of the plan and the audit log are kept"
    )
    options.add_argument(
        "--trunks", type=json.loads, help="JSON: the settings' trunks, name to calls at once"
    )
    options.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options.add_argument("--log-format", default="console", choices=["console", "json"])
    options.add_argument("--log-redact", action="store_true", help="hide what people said and dialled")
    options.add_argument("--traces", default="", help="URL of an OTLP/HTTP receiver for finished calls")
    options.add_argument("--trace-words", action="store_true", help="with what was said")
    given = options.parse_args()
    configure_logs(LogSettings(level=given.log_level, format=given.log_format, redact=given.log_redact))
    database = given.database or beside(given.calls_dir)
    where = {"host": given.host, "port": given.port, "link_fd": given.link_fd}
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        traces = None
        try:
            if given.traces:
                traces = stack.enter_context(tracing(given.traces, given.trace_words))
        except OffhookError as error:
            log.error("no_traces", why=str(error))

        async def work() -> None:
            plan = _plan_api(given.dialplan, given.plan_versions, given.trunks)
            await serve(given.calls_dir, database, plan=plan, traces=traces, **where)

        asyncio.run(work())


def _plan_api(plan: Path | None, versions: Path | None, trunks: dict[str, int] | None) -> PlanApi | None:
    if plan is None or versions is None:
        return None
    access = Access.told(os.environ, ACCESS_VARIABLE, versions / "audit.jsonl")
    return PlanApi(plan, versions, access, trunks=trunks)


if __name__ == "__main__":
    main()

"""What the processes write on standard error."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from offhook.logs import configure_logs
from offhook.settings import LogSettings
from offhook.whose import CALL
from pipeline.masking import never_show


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_tells_places_and_no_values(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Among the values would be keys, passwords and what callers said."""
    configure_logs(LogSettings.model_validate({"format": form}))
    log = structlog.get_logger("test_logs")
    secret = "".join(["c2Vj", "cmV0"])  # not in the source line that a traceback shows
    try:
        raise LookupError(len(secret))
    except LookupError:
        log.exception("it_failed")
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "LookupError" in written and "test_logs.py" in written
    assert secret not in written
    if form == "json":
        assert json.loads(written)["event"] == "it_failed"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_key_is_masked_wherever_it_stands_in_a_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in the exception that an SDK raised before ours, which quotes what it sent."""
    never_show("plain-sesame-4711")
    configure_logs(LogSettings.model_validate({"format": form}))
    log = structlog.get_logger("test_logs")
    try:
        try:
            raise ValueError("Authorization: plain-sesame-4711")
        except ValueError as inner:
            raise LookupError("refused") from inner
    except LookupError:
        log.exception("it_failed", sent="plain-sesame-4711", more={"key": "gsk_0123456789"})
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "sesame" not in written and "gsk_" not in written
    assert "ValueError" in written and "LookupError" in written and "***" in written


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_people_said_and_dialled_can_be_left_out(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`log.redact: yes` masks every field whose name begins with pii_, however deep it stands."""
    configure_logs(LogSettings.model_validate({"format": form, "redact": True}))
    log = structlog.get_logger("test_logs")
    log.info("dialled", pii_digits="4711", call_id="c1", more=[{"pii_name": "Jane Roe", "leg": "other"}])
    structlog.reset_defaults()
    written = capsys.readouterr().err
    assert "4711" not in written and "Jane" not in written
    assert written.count("***") == 2 and "c1" in written and "other" in written


async def test_every_line_of_a_call_s_tasks_names_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever writes it, a tool of the agent's author too; a line that names another call keeps it."""
    configure_logs(LogSettings.model_validate({"format": "json"}))
    log = structlog.get_logger("test_logs")

    async def tool() -> None:
        log.info("looked_up")
        log.info("told", call_id="c2")

    token = CALL.set("c1")
    task = asyncio.create_task(tool())
    CALL.reset(token)
    await task
    log.info("idle")
    structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("call_id") for line in lines] == ["c1", "c2", None]

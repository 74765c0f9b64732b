"""What the processes write on standard error."""

from __future__ import annotations

import json

import pytest
import structlog

from offhook.logs import configure_logs
from offhook.settings import LogSettings
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

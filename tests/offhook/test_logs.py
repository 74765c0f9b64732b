"""What the processes write on standard error."""

from __future__ import annotations

import json

import pytest
import structlog

from offhook.logs import configure_logs
from offhook.settings import LogSettings


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

"""What a server's refusal means, and that no key gets out with it."""

from __future__ import annotations

from pathlib import Path

import groq
import httpx
import openai
import pytest

from pipeline.providers import keys
from pipeline.providers.blame import cause_of, from_sdk, refused, retry_after
from pipeline.providers.keys import MissingKey, api_key, redacted


@pytest.mark.parametrize(
    ("status", "text", "cause"),
    [
        (400, "", "bad_request"), (401, "", "auth"), (402, "", "quota"), (403, "", "auth"), (404, "", "bad_request"),
        (408, "", "timeout"), (429, "slow down", "rate_limit"), (429, "code: insufficient_quota", "quota"),
        (401, "quota_exceeded", "quota"), (498, "", "rate_limit"), (500, "", "server"), (529, "overloaded", "server"),
    ],
)  # fmt: skip
def test_a_status_tells_why(status: int, text: str, cause: str) -> None:
    assert cause_of(status, text) == cause


def test_a_server_that_says_when_to_come_back_is_believed() -> None:
    assert retry_after({"Retry-After": "7"}) == 7.0
    assert retry_after({"retry-after": "7", "retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}) is None
    assert refused("acme", 429, "slow", {"Retry-After": "2"}).retry_after == 2.0


def test_a_refusal_that_quotes_the_key_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "plain-secret-4711")
    assert api_key("acme", "ACME_KEY") == "plain-secret-4711"
    error = refused("acme", 401, "Invalid API key plain-secret-4711 (was gsk_abcdefghijkl)")
    assert "plain-secret" not in str(error)
    assert "gsk_" not in str(error)
    assert "Check its key" in str(error)


def test_a_missing_key_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ACME_KEY", raising=False)
    with pytest.raises(MissingKey, match=r"acme needs ACME_KEY. Set it in the environment or in \.env\."):
        api_key("acme", "ACME_KEY")


def test_a_key_may_stand_in_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ACME_KEY=from-the-file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACME_KEY", raising=False)
    keys._env_file.cache_clear()
    try:
        assert api_key("acme", "OLD_ACME_KEY", "ACME_KEY") == "from-the-file"
        assert redacted("is from-the-file right?") == "is *** right?"
    finally:
        keys._env_file.cache_clear()


@pytest.mark.parametrize("sdk", [openai, groq])
def test_exceptions_of_the_sdks_are_understood(sdk: object) -> None:
    request = httpx.Request("POST", "http://127.0.0.1/v1")
    response = httpx.Response(429, headers={"retry-after": "3"}, request=request)
    limited = sdk.RateLimitError("slow", response=response, body={"error": {"message": "slow down"}})  # type: ignore[attr-defined]
    error = from_sdk("acme", limited)
    assert (error.cause, error.retry_after) == ("rate_limit", 3.0)
    assert "slow down" in str(error)
    assert from_sdk("acme", sdk.APITimeoutError(request)).cause == "timeout"  # type: ignore[attr-defined]
    assert from_sdk("acme", sdk.APIConnectionError(request=request)).cause == "connectivity"  # type: ignore[attr-defined]

"""Groq's SDK client. Made with the key from GROQ_API_KEY."""

from __future__ import annotations

from typing import Any

import groq

from pipeline.providers.keys import api_key
from pipeline.providers.sdk_client import SdkClient


def connection(base_url: str, timeout_s: float) -> SdkClient[groq.AsyncGroq]:
    """base_url: empty for GROQ_BASE_URL, else Groq's own. Raises MissingKey."""
    key = api_key("groq", "GROQ_API_KEY")

    def make(http: Any) -> groq.AsyncGroq:
        return groq.AsyncGroq(api_key=key, base_url=base_url or None, http_client=http, max_retries=0)

    return SdkClient("groq", groq, groq.GroqError, make, timeout_s)

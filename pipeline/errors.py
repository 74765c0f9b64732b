"""What can go wrong in a conversation, and who is to blame. Every message names place, fact and remedy."""

from __future__ import annotations

from typing import Literal

from pipeline.masking import redacted

Cause = Literal["auth", "quota", "rate_limit", "bad_request", "connectivity", "timeout", "server"]


class PipelineError(Exception):
    """Something in the conversation, not in the phone call."""


class ProviderError(PipelineError):
    """A speech or language provider failed. cause: why; retry: may the same request succeed later?

    Keys in the message are masked: servers quote the one that they refuse, and it goes into journals and logs."""

    def __init__(
        self, provider: str, cause: Cause, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{provider}: {redacted(message)}")
        self.provider = provider
        self.cause: Cause = cause
        self.retry_after = retry_after

    @property
    def retry(self) -> bool:
        return self.cause in ("rate_limit", "connectivity", "timeout", "server")


class ConfigError(PipelineError):
    """The agent or its providers are set up wrongly: an unknown provider, a wrong option, a missing key."""


class ToolError(PipelineError):
    """Raise it in a tool: its text goes to the model as the tool's answer."""

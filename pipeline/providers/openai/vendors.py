"""Who speaks OpenAI's API: where each server is, and which variable has its key. Makes their SDK clients.

A server that is not listed here is reached with `provider: openai` and its `base_url`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openai

from pipeline.errors import ConfigError
from pipeline.providers.keys import MissingKey, api_key, environment
from pipeline.providers.sdk_client import SdkClient

NO_KEY = "none"  # what a server that asks for no key gets: the SDK insists on one


@dataclass(frozen=True, slots=True)
class Vendor:
    """base_url: its default, "" for the SDK's. url_variable: where a base URL may stand. local: asks for no key, unless
    the variable is set. max_tokens: what it calls that parameter."""

    name: str
    key: str
    base_url: str = ""
    url_variable: str = ""
    local: bool = False
    max_tokens: str = "max_tokens"


OPENAI = Vendor(
    "openai", "OPENAI_API_KEY", url_variable="OPENAI_BASE_URL", max_tokens="max_completion_tokens"
)
AZURE = Vendor(
    "azure", "AZURE_OPENAI_API_KEY", url_variable="AZURE_OPENAI_ENDPOINT", max_tokens="max_completion_tokens"
)
AZURE_V1 = Vendor(
    "azure", "AZURE_OPENAI_API_KEY", url_variable="AZURE_OPENAI_ENDPOINT"
)  # speaks as OpenAI does
OPENROUTER = Vendor("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1")
OLLAMA = Vendor("ollama", "OLLAMA_API_KEY", "http://127.0.0.1:11434/v1", local=True)
VLLM = Vendor("vllm", "VLLM_API_KEY", "http://127.0.0.1:8000/v1", local=True)
LLAMACPP = Vendor("llamacpp", "LLAMA_API_KEY", "http://127.0.0.1:8080/v1", local=True)


def connection(
    vendor: Vendor, base_url: str, timeout_s: float, *, api_version: str = "", deployment: str = ""
) -> SdkClient[openai.AsyncOpenAI]:
    """base_url: empty for the vendor's own. Raises MissingKey, ConfigError."""
    url = base_url or environment().get(vendor.url_variable, "") or vendor.base_url
    key = _key(vendor)
    if vendor is AZURE_V1 and not url:
        raise ConfigError("azure needs base_url (https://NAME.openai.azure.com/openai/v1). Add it.")
    if vendor is AZURE and not (url and api_version):
        raise ConfigError("azure needs base_url (https://NAME.openai.azure.com) and api_version. Add them.")

    def make(http: Any) -> openai.AsyncOpenAI:
        if vendor is AZURE:
            return openai.AsyncAzureOpenAI(
                api_key=key,
                azure_endpoint=url,
                api_version=api_version,
                azure_deployment=deployment or None,
                http_client=http,
                max_retries=0,
            )
        return openai.AsyncOpenAI(api_key=key, base_url=url or None, http_client=http, max_retries=0)

    return SdkClient(vendor.name, openai, openai.OpenAIError, make, timeout_s)


def _key(vendor: Vendor) -> str:
    try:
        return api_key(vendor.name, vendor.key)
    except MissingKey:
        if vendor.local:
            return NO_KEY
        raise

"""Chat models of OpenAI and of every server with the same API. Streaming, tools and usage are chat_llm.py's.

One class a vendor, so that each has its name, its server and its key; what they share stands once. Source: OpenAI's API
reference, Chat Completions; the servers' own pages on what they take of it."""

from __future__ import annotations

from typing import Any, ClassVar

from pipeline.errors import ConfigError
from pipeline.providers.chat_llm import ChatLlm
from pipeline.providers.openai import vendors
from pipeline.providers.openai.vendors import Vendor, connection


class OpenAiLlm(ChatLlm):
    """Key: OPENAI_API_KEY.

    model: as the server names it. temperature: 0.0 to 2.0; reasoning models refuse it. max_tokens: of one reply. top_p:
    0.0 to 1.0. seed: for repeatable answers, as far as the server can. reasoning_effort: none, minimal, low, medium or
    high, for models that reason; the caller waits meanwhile. response_format: `{type: json_schema, json_schema:
    {...}}`. parallel_tool_calls: may the model ask for several tools at once? service_tier: auto, default, flex or
    priority. extra: further parameters of the server's own. timeout_s: the longest silence of the server, in s.
    base_url: of another server; else OPENAI_BASE_URL, else the vendor's. What is left out is the model's own default.
    """

    name = "openai"
    VENDOR: ClassVar[Vendor] = vendors.OPENAI
    MODEL: ClassVar[str] = "gpt-6-luna"

    def __init__(
        self,
        *,
        model: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        reasoning_effort: str = "",
        response_format: dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        service_tier: str = "",
        extra: dict[str, Any] | None = None,
        timeout_s: float = 10.0,
        base_url: str = "",
        api_version: str = "",
        deployment: str = "",
    ) -> None:
        model = model or deployment or self.MODEL
        if not model:
            raise ConfigError(f"llm {self.name}: option 'model' is missing. Name one that the server has.")
        options = {
            "model": model,
            "temperature": temperature,
            self.VENDOR.max_tokens: max_tokens,
            "top_p": top_p,
            "seed": seed,
            "reasoning_effort": reasoning_effort,
            "response_format": response_format,
            "parallel_tool_calls": parallel_tool_calls,
            "service_tier": service_tier,
            "extra_body": extra,
            "stream_options": {"include_usage": True},
        }
        sdk = connection(self.VENDOR, base_url, timeout_s, api_version=api_version, deployment=deployment)
        super().__init__(sdk, options)


class AzureLlm(OpenAiLlm):
    """Key: AZURE_OPENAI_API_KEY. base_url: the resource, https://NAME.openai.azure.com, else AZURE_OPENAI_ENDPOINT.
    api_version: such as 2024-10-21. deployment: its name; else `model` is taken for it. The rest: see OpenAiLlm."""

    name = "azure"
    VENDOR = vendors.AZURE
    MODEL = ""


class OpenRouterLlm(OpenAiLlm):
    """Key: OPENROUTER_API_KEY. model: vendor/model. extra: such as `{provider: {sort: latency}}`."""

    name = "openrouter"
    VENDOR = vendors.OPENROUTER
    MODEL = ""


class OllamaLlm(OpenAiLlm):
    """No key. model: one that was pulled. base_url: http://127.0.0.1:11434/v1 by default."""

    name = "ollama"
    VENDOR = vendors.OLLAMA
    MODEL = ""


class VllmLlm(OpenAiLlm):
    """VLLM_API_KEY if the server was started with one. base_url: http://127.0.0.1:8000/v1 by default."""

    name = "vllm"
    VENDOR = vendors.VLLM
    MODEL = ""


class LlamaCppLlm(OpenAiLlm):
    """LLAMA_API_KEY if the server was started with one. base_url: http://127.0.0.1:8080/v1 by default; the server has
    one model and takes any name for it."""

    name = "llamacpp"
    VENDOR = vendors.LLAMACPP
    MODEL = "default"

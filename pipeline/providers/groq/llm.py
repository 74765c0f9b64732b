"""Groq's chat models. Streaming, tools and usage are chat_llm.py's; here is what is Groq's own.

Sources: console.groq.com/docs: api-reference, tool-use, structured-outputs, reasoning, rate-limits, deprecations."""

from __future__ import annotations

from typing import Any, Literal

from pipeline.providers.chat_llm import ChatLlm
from pipeline.providers.groq.connection import connection

MODEL = "openai/gpt-oss-120b"  # llama-3.3-70b-versatile was shut down on 2026-08-16

Effort = Literal["", "none", "default", "low", "medium", "high"]


class GroqLlm(ChatLlm):
    """Key: GROQ_API_KEY.

    model: as Groq names it. temperature: 0.0 to 2.0. max_tokens: of one reply, thoughts included. top_p: 0.0 to 1.0.
    seed: for repeatable answers, as far as Groq can. reasoning_effort: how long a reasoning model thinks; empty is as
    little as the model can. response_format: `{type: json_schema, json_schema: {...}}` for answers by a schema; they
    come whole, since Groq has refused to stream them. parallel_tool_calls: may the model ask for several tools at once?
    service_tier: on_demand, flex, auto or performance. timeout_s: the longest silence of the server, in s. base_url: of
    another server that speaks the same; else GROQ_BASE_URL, else Groq. What is left out is the model's own default.
    """

    name = "groq"

    def __init__(
        self,
        *,
        model: str = MODEL,
        temperature: float | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        reasoning_effort: Effort = "",
        response_format: dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        service_tier: str = "",
        timeout_s: float = 10.0,
        base_url: str = "",
    ) -> None:
        options = {
            "model": model,
            "temperature": temperature,
            "max_completion_tokens": max_tokens,
            "top_p": top_p,
            "seed": seed,
            "reasoning_effort": reasoning_effort or _least(model),
            "response_format": response_format,
            "parallel_tool_calls": parallel_tool_calls,
            "service_tier": service_tier,
        }
        super().__init__(connection(base_url, timeout_s), options, structured=False)


def _least(model: str) -> str:
    """The least effort that a model takes: the caller waits meanwhile. Models that do not reason refuse the option."""
    if "gpt-oss" in model:
        return "low"
    return "none" if model.startswith("qwen/qwen3") else ""

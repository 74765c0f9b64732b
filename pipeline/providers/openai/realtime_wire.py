"""The Realtime API's events: ours as it wants them, its as we know them. Pure.

Source: OpenAI's API reference, Realtime (GA: response.output_audio.delta and not response.audio.delta, session.type
realtime, audio.input and audio.output)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.agent.history import Message
from pipeline.errors import Cause, ProviderError
from pipeline.ports import Frame, Hints, ToolCall, ToolSpec, Usage
from pipeline.providers.blame import failed
from pipeline.providers.openai.g711 import Law, decode
from pipeline.providers.whisper import language_code
from pipeline.realtime.model import Ask, Committed, Done, Piece, RealtimeEvent, Refused, Words

PCM_HZ = 24_000  # the only rate of audio/pcm
SPEEDS = (0.25, 1.5)
NOT_ERRORS = ("cancel:", "remove:", "truncate:")  # what is refused because it is over already
_CAUSES: tuple[tuple[str, Cause], ...] = (
    ("insufficient_quota", "quota"),
    ("exceeded your current quota", "quota"),
    ("rate_limit", "rate_limit"),
    ("invalid_api_key", "auth"),
    ("authentication", "auth"),
    ("permission", "auth"),
    ("session_expired", "connectivity"),
    ("server_error", "server"),
    ("internal_error", "server"),
    ("invalid_request", "bad_request"),
    ("invalid_value", "bad_request"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """See OpenAiRealtime."""

    transcription: str
    turn_detection: str
    noise_reduction: str
    max_output_tokens: int
    reasoning: str


# ---------------------------------------------------------------- ours


def session(
    options: Options,
    law: Law | None,
    voice: str,
    speed: float,
    instructions: str,
    tools: Sequence[ToolSpec],
    hints: Hints,
) -> dict[str, Any]:
    """law: None for PCM at PCM_HZ."""
    sound: dict[str, Any] = {"type": "audio/pcm", "rate": PCM_HZ}
    if law is not None:
        sound = {"type": "audio/pcmu" if law == "ulaw" else "audio/pcma"}
    body = changed(options, instructions, tools, hints)
    reduction, detection = options.noise_reduction, options.turn_detection
    body["output_modalities"] = ["audio"]
    body["audio"]["input"] |= {
        "format": sound,
        "noise_reduction": None if reduction == "none" else {"type": reduction},
        "turn_detection": None
        if detection == "none"
        else {"type": detection, "create_response": False, "interrupt_response": False},
    }
    least, most = SPEEDS
    body["audio"]["output"] = {"format": sound, "voice": voice, "speed": min(max(speed, least), most)}
    if options.max_output_tokens:
        body["max_output_tokens"] = options.max_output_tokens
    if options.reasoning:
        body["reasoning"] = {"effort": options.reasoning}
    return body


def changed(options: Options, instructions: str, tools: Sequence[ToolSpec], hints: Hints) -> dict[str, Any]:
    """What another agent changes."""
    written: dict[str, Any] = {"model": options.transcription}
    if language := language_code(hints.language):
        written["language"] = language
    return {
        "type": "realtime",
        "instructions": instructions,
        "tools": [_tool(tool) for tool in tools],
        "audio": {"input": {"transcription": written}},
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }


def item(message: Message) -> dict[str, Any]:
    """A message, or one call of a tool."""
    if message.tool_calls:
        call = message.tool_calls[0]
        return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
    if message.role == "tool":
        return {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text}
    kind = "output_text" if message.role == "assistant" else "input_text"
    text = message.text if message.text.strip() else "(The caller could not be understood.)"
    return {"type": "message", "role": message.role, "content": [{"type": kind, "text": text}]}


def response(ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "metadata": {"tag": ask.tag},
        "output_modalities": ["audio" if ask.aloud else "text"],
        "tool_choice": ask.tool_choice,
    }
    if ask.aside:
        inputs = [
            part
            for message in ask.messages
            for part in (
                [item(message)]
                if not message.tool_calls
                else [item(_only(message, call)) for call in message.tool_calls]
            )
        ]
        body |= {"conversation": "none", "input": inputs, "tools": [_tool(tool) for tool in ask.tools]}
    if ask.instructions:
        body["instructions"] = ask.instructions
    return body


def _only(message: Message, call: Any) -> Message:
    return Message("assistant", "", tool_calls=(call,))


# ---------------------------------------------------------------- theirs


def parsed(name: str, payload: bytes) -> dict[str, Any]:
    """One event. Raises ProviderError if it is none."""
    try:
        event = json.loads(payload)
    except ValueError as error:
        raise failed(name, "server", "an event that is no JSON") from error
    if not isinstance(event, dict):
        raise failed(name, "server", "an event that is no object")
    return event


def cause_of(words: str) -> Cause | None:
    """What a code or a message tells, None for nothing."""
    lower = words.lower()
    return next((cause for word, cause in _CAUSES if word in lower), None)


def blamed(name: str, said: Any) -> ProviderError:
    """An error object of the server: type, code, message."""
    told = said if isinstance(said, dict) else {}
    parts = [str(told[key]) for key in ("code", "type", "message") if told.get(key)]
    return failed(name, cause_of(" ".join(parts)) or "server", ": ".join(parts) or "an error without words")


class Reader:
    """Turns a connection's events into ours. It knows which answer is which response."""

    def __init__(self, name: str, law: Law | None) -> None:
        self._name, self._law = name, law
        self._asks: dict[str, Ask] = {}
        self._responses: dict[str, str] = {}  # response id → tag
        self._unwanted: set[str] = set()
        self._half: dict[str, bytes] = {}  # item → half a sample

    def asked(self, ask: Ask) -> None:
        self._asks[ask.tag] = ask

    def response_of(self, tag: str) -> str:
        return next((response for response, known in self._responses.items() if known == tag), "")

    def cancel_when_created(self, tag: str) -> None:
        if tag in self._asks:
            self._unwanted.add(tag)

    def to_cancel(self) -> list[str]:
        """Answers that were not wanted any more before the server had named them."""
        named = [tag for tag in self._unwanted if self.response_of(tag)]
        self._unwanted.difference_update(named)
        return named

    def read(self, event: dict[str, Any]) -> Iterator[RealtimeEvent]:
        """Raises ProviderError for one that makes no sense."""
        try:
            yield from self._read(event)
        except (KeyError, TypeError, AttributeError, binascii.Error, ValueError) as error:
            raise failed(self._name, "server", f"a {event.get('type')} event that makes no sense") from error

    def _read(self, event: dict[str, Any]) -> Iterator[RealtimeEvent]:
        match event.get("type"):
            case "response.output_audio.delta":
                yield from self._piece(
                    event, pcm=self._samples(event["item_id"], base64.b64decode(event["delta"]))
                )
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                yield from self._piece(event, text=str(event["delta"]))
            case "response.output_item.done" if event["item"].get("type") == "function_call":
                done = event["item"]
                call = ToolCall(str(done["call_id"]), str(done["name"]), str(done.get("arguments") or "{}"))
                yield from self._piece({**event, "item_id": done["id"]}, call=call)
            case "response.created":
                tag = (event["response"].get("metadata") or {}).get("tag", "")
                self._responses[event["response"]["id"]] = tag
            case "response.done":
                yield from self._done(event["response"])
            case "input_audio_buffer.committed":
                yield Committed(str(event["item_id"]))
            case "conversation.item.input_audio_transcription.delta":
                yield Words(str(event["item_id"]), str(event.get("delta") or ""))
            case "conversation.item.input_audio_transcription.completed":
                yield Words(str(event["item_id"]), str(event["transcript"]), last=True)
            case "conversation.item.input_audio_transcription.failed":
                yield Words(str(event["item_id"]), "", last=True, failed=True)
            case "error":
                yield from self._error(event.get("error") or {})

    def _piece(
        self, event: dict[str, Any], *, text: str = "", pcm: Frame | None = None, call: ToolCall | None = None
    ) -> Iterator[Piece]:
        tag = self._responses.get(event["response_id"], "")
        ask = self._asks.get(tag)
        if ask is not None:
            yield Piece(tag, str(event["item_id"]), text, pcm, call, ask.aside)

    def _samples(self, item_id: str, payload: bytes) -> Frame:
        if self._law is not None:
            return decode(payload, self._law)
        payload = self._half.pop(item_id, b"") + payload
        whole = len(payload) & ~1
        if payload[whole:]:
            self._half[item_id] = payload[whole:]
        return np.frombuffer(payload[:whole], "<i2").astype(np.int16)

    def _done(self, body: dict[str, Any]) -> Iterator[Done]:
        tag = self._responses.pop(body["id"], "")
        if self._asks.pop(tag, None) is None:
            return
        self._unwanted.discard(tag)
        details = body.get("status_details") or {}
        error = None
        if body.get("status") == "failed":
            error = blamed(self._name, details.get("error"))
        elif details.get("reason") == "content_filter":
            error = failed(self._name, "bad_request", "the answer was held back by the content filter")
        yield Done(tag, _usage(body.get("usage") or {}), error)

    def _error(self, said: dict[str, Any]) -> Iterator[RealtimeEvent]:
        """What could not be done. event_id tells which of ours it was."""
        ours, error = str(said.get("event_id") or ""), blamed(self._name, said)
        if ours.startswith("ask:"):
            tag = ours.removeprefix("ask:")
            if self._asks.pop(tag, None) is not None:
                yield Done(tag, error=error)
        elif ours == "commit":
            yield Refused("commit", "", error)
        elif ours.startswith(NOT_ERRORS):
            yield Refused(*ours.partition(":")[::2], error)
        elif error.cause in ("auth", "quota", "rate_limit", "connectivity", "server"):
            raise error
        else:
            yield Refused(*ours.partition(":")[::2], error)


def _usage(said: dict[str, Any]) -> Usage:
    into, out = said.get("input_token_details") or {}, said.get("output_token_details") or {}
    return Usage(
        int(said.get("input_tokens") or 0),
        int(said.get("output_tokens") or 0),
        int(into.get("cached_tokens") or 0),
        input_audio_tokens=int(into.get("audio_tokens") or 0),
        output_audio_tokens=int(out.get("audio_tokens") or 0),
    )

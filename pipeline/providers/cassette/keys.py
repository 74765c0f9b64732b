"""What an answer on tape depends on, as hashes: the same request has the same key, in every process. Pure.

A key has parts, so that a request that is not on tape can be told what changed. Texts may be masked first: then
neither key nor tape shows a number that somebody said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from pipeline.agent.history import Message
from pipeline.ports import ToolSpec, Voice

Mask: TypeAlias = Callable[[str], str]
Parts: TypeAlias = dict[str, str]

HEARD_WORDS = 4  # of an answer that was cut off: where exactly is a matter of 20 ms
_FIGURES = "zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple"
_SAID = re.compile(rf"\b(?:{_FIGURES})(?:[\s,-]+(?:{_FIGURES})\b){{2,}}", re.IGNORECASE)
_WRITTEN = re.compile(r"\d")


def plain(text: str) -> str:
    """Nothing is masked."""
    return text


def masked(text: str) -> str:
    """Without figures: digits become `#`, three spoken ones in a row too."""
    return _WRITTEN.sub("#", _SAID.sub("#", text))


def llm_parts(
    identity: str,
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    tool_choice: str,
    mask: Mask = plain,
) -> Parts:
    """What an answer of the model depends on: model, instructions, conversation, tools."""
    told = [message for message in messages if message.role == "system"]
    said = [_message(message, mask) for message in messages if message.role != "system"]
    specs = [[tool.name, tool.description, tool.parameters] for tool in tools]
    return {
        "model": _hash(identity),
        "instructions": _hash([mask(message.text) for message in told]),
        "conversation": _hash(said),
        "tools": _hash([specs, tool_choice]),
    }


def tts_parts(identity: str, voice: Voice, text: str, mask: Mask = plain) -> Parts:
    """What the sound of a piece depends on: provider, voice, words."""
    how = [voice.name, voice.language, voice.speed, dict(voice.options)]
    return {"provider": _hash(identity), "voice": _hash(how), "words": _hash(mask(text))}


def identity_key(identity: str) -> str:
    """A provider and its options, without telling them."""
    return _hash(identity)


def key(parts: Mapping[str, str]) -> str:
    """One hash of all parts."""
    return _hash(dict(parts))


def _message(message: Message, mask: Mask) -> list[Any]:
    text = mask(message.text)
    if message.interrupted:
        text = " ".join(text.split()[:HEARD_WORDS])
    calls = [[call.id, call.name, mask(call.arguments)] for call in message.tool_calls]
    return [
        message.role,
        text,
        message.agent,
        message.interrupted,
        calls,
        message.tool_call_id,
        message.interim,
    ]


def _hash(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()[:20]

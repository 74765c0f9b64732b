"""A Whisper model that knows one word, written as a directory that CTranslate2 and faster-whisper load.

Proves the loading and the plumbing, not the hearing. Its shape is Whisper's with every size made small; the vocabulary
is the 256 bytes and Whisper's special tokens, in Whisper's order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import WhisperSpec  # type: ignore[import-untyped]
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SAYS = "yes"
PROMPT_TOKENS = 2  # <|startoftranscript|> and <|notimestamps|>, if there is no prompt
SURE = 10.0  # logits: so that it is certain
WIDTH, MELS, FRAMES, TEXT = 16, 80, 1500, 448
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
]
SPECIAL += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
SPECIAL += [f"<|{number * 0.02:.2f}|>" for number in range(1501)]


def write(folder: Path) -> Path:
    """The model's directory, ready for faster_whisper.WhisperModel(path)."""
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *SPECIAL]
    spec = _spec(tokens)
    spec.register_vocabulary(tokens)
    last = tokens.index("<|startoflm|>")
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], [last]
    spec.config.lang_ids, spec.config.alignment_heads = [tokens.index("<|en|>")], [(0, 0)]
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    _tokenizer(tokens).save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": MELS}), encoding="utf-8")
    return folder


def _tokenizer(tokens: list[str]) -> Tokenizer:
    letters = {token: number for number, token in enumerate(tokens) if token not in SPECIAL}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer


def _spec(tokens: list[str]) -> WhisperSpec:
    """Random where sound is taken in, and a decoder that goes by its position alone: it says SAYS whatever it hears."""
    chance = np.random.default_rng(7)

    def some(*shape: int) -> Any:
        return chance.normal(0, 0.1, shape).astype(np.float32)

    def none(*shape: int) -> Any:
        return np.zeros(shape, np.float32)

    def norm(part: Any) -> None:
        part.gamma, part.beta = np.ones(WIDTH, np.float32), none(WIDTH)

    def attention(part: Any, fill: Any, *outs: int) -> None:
        norm(part.layer_norm)
        for layer, out in zip(part.linear, outs, strict=True):
            layer.weight, layer.bias = fill(out, WIDTH), fill(out)

    def feed_forward(part: Any, fill: Any) -> None:
        norm(part.layer_norm)
        part.linear_0.weight, part.linear_0.bias = fill(4 * WIDTH, WIDTH), fill(4 * WIDTH)
        part.linear_1.weight, part.linear_1.bias = fill(WIDTH, 4 * WIDTH), fill(WIDTH)

    spec = WhisperSpec(1, 2, 1, 2)
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = some(WIDTH, MELS, 3), some(WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = some(WIDTH, WIDTH, 3), some(WIDTH)
    encoder.position_encodings.encodings = some(FRAMES, WIDTH)
    for part, fill in ((encoder, some), (decoder, none)):
        norm(part.layer_norm)
        attention(part.layer[0].self_attention, fill, 3 * WIDTH, WIDTH)
        feed_forward(part.layer[0].ffn, fill)
    attention(decoder.layer[0].attention, none, WIDTH, 2 * WIDTH, WIDTH)
    decoder.embeddings.weight = none(len(tokens), WIDTH)
    decoder.position_encodings.encodings = np.eye(WIDTH, dtype=np.float32)[np.arange(TEXT) % WIDTH]
    decoder.projection.weight = none(len(tokens), WIDTH)
    for place, token in enumerate([*SAYS, SPECIAL[0]], start=PROMPT_TOKENS - 1):
        decoder.projection.weight[tokens.index(token), place] += SURE
    return spec

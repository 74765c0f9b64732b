"""Words that listeners say to keep a speaker going: no claim to the floor. English. Pure."""

from __future__ import annotations

import re

SOUNDS = "uh-huh uhuh mhm mm-hmm mmhm hm hmm mm aha ah oh"
WORDS = "yeah yep yes okay ok right sure alright"
BACKCHANNELS = frozenset([*SOUNDS.split(" "), *WORDS.split(" "), "i see", "got it", "all right"])


def is_backchannel(text: str, language: str = "en-US") -> bool:
    """Is all of this only listening noise?"""
    words = re.sub(r"[^\w\s'-]", "", text.lower()).strip()
    return words in BACKCHANNELS or (bool(words) and all(word in BACKCHANNELS for word in words.split()))

"""Words that listeners say to keep a speaker going: no claim to the floor. English. Pure."""

from __future__ import annotations

import re

BACKCHANNELS = frozenset(
    [
        "uh-huh",
        "uhuh",
        "mhm",
        "mm-hmm",
        "mmhm",
        "hm",
        "hmm",
        "mm",
        "yeah",
        "yep",
        "yes",
        "okay",
        "ok",
        "right",
        "sure",
        "aha",
        "ah",
        "oh",
        "alright",
    ]
    + ["i see", "got it", "all right", "oh okay", "yeah okay", "yes okay"]
)


def is_backchannel(text: str) -> bool:
    """Is all of this only listening noise?"""
    words = re.sub(r"[^\w\s'-]", "", text.lower()).strip()
    return words in BACKCHANNELS or (bool(words) and all(word in BACKCHANNELS for word in words.split()))

"""A string to dial on a call that stands: keys and pauses. Pure, and light enough for the switch.

`12#` presses three keys, `ww12` waits a second first. Sent by media (tones.py) or by SIP INFO (call/keypad.py)."""

from __future__ import annotations

from typing import Final

from telephony.errors import MediaError

KEYS: Final = "0123456789*#ABCD"  # RFC 4733 table 3: the index is the event code
PAUSES_S: Final = {"w": 0.5, "W": 1.0, ",": 2.0}
LONGEST: Final = 128


def read(text: str) -> str:
    """Keys in capitals, pauses as they are. Raises MediaError for anything else, naming it."""
    if len(text) > LONGEST:
        raise MediaError(f"Digits to send: {len(text)} of them. Send at most {LONGEST} at once.")
    for index, each in enumerate(text):
        if each not in PAUSES_S and each.upper() not in KEYS:
            raise MediaError(
                f"Digits to send, character {index + 1}: {each!r} is not on a keypad. "
                "Use 0-9, A-D, *, # and, for a pause, w (0.5 s), W (1 s) or a comma (2 s)."
            )
    return "".join(each if each in PAUSES_S else each.upper() for each in text)

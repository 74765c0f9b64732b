"""How much of an answer was said. Pure."""

from __future__ import annotations

from enum import Enum


class Progress(Enum):
    """What the words so far are to the question that was asked."""

    OTHER = "other"  # something else: the question tells nothing about their end
    BEGUN = "begun"  # part of the answer: the rest must come
    ENOUGH = "enough"  # could be all, could go on: seven digits where seven to fifteen are allowed
    COMPLETE = "complete"  # nothing may follow that belongs to it

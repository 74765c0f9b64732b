"""What a plan lets callers hear: words for the voice, or a sound file that somebody has recorded. Pure data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from telephony.dialplan.values import PlanModel


class Saying(PlanModel):
    """sound: a WAV file, as a path from the plan's folder. text: what the voice says, or what is said in the file: for
    transcripts, and for the voice if the file is gone."""

    text: str = ""
    sound: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.sound)

    def located(self, plan_path: str) -> Self:
        """With the file's path as this process sees it."""
        if not self.sound:
            return self
        return self.model_copy(update={"sound": str(Path(plan_path).parent / self.sound)})


def as_saying(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def _filled(saying: Saying) -> Saying:
    if not (saying.text.strip() or saying.sound):
        raise ValueError("is empty. Write a text, or {sound: FILE.wav, text: what is said in it}.")
    return saying


Said: TypeAlias = Annotated[Saying, BeforeValidator(as_saying)]
"""A text, or `{sound: FILE.wav, text: what is said in it}`."""
Words: TypeAlias = Annotated[Saying, BeforeValidator(as_saying), AfterValidator(_filled)]
"""The same, and not empty."""

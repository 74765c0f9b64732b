"""How far a judge thinks as people do: raw agreement and Cohen's kappa over all calls that people labelled.

Kappa takes out what two who guess would agree on: 0 is chance, 1 is perfect, below 0.6 a judge decides nothing alone.
Source: Cohen 1960, Educational and Psychological Measurement 20:37. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from offhook.replay.checking import Verdict


class Agreement(NamedTuple):
    """labels: how many there are. raw: share on which judge and person agree. kappa: None if both only ever said one
    and the same thing, of which nothing can be learnt."""

    labels: int
    raw: float
    kappa: float | None

    def __str__(self) -> str:
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.2f}"
        return f"{self.raw:.0%} of {self.labels} labels, kappa {kappa}"


def agreement(verdicts: Iterable[Verdict]) -> Agreement | None:
    """Of all verdicts of the judge that a person labelled too. None if there are none."""
    pairs = [(verdict.outcome, verdict.label) for verdict in verdicts if verdict.judged and verdict.label]
    if not pairs:
        return None
    count = len(pairs)
    raw = sum(one == other for one, other in pairs) / count
    judge, people = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(judge[word] * people[word] for word in judge) / count**2
    kappa = None if chance == 1.0 else (raw - chance) / (1.0 - chance)
    return Agreement(count, round(raw, 4), None if kappa is None else round(kappa, 4))

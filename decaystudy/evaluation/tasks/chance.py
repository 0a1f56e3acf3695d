"""The share of right answers of one who guesses, which stands beside every accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable

from decaystudy.evaluation.tasks.catalog import LATEST_DISTANCES, NEEDLE_DISTANCES, PAIR_COUNTS

RECALL_CHOICES = 8
CONTINUATION_CHOICES = 4
_CHANCE = {
    "boolq": 1 / 2,
    "piqa": 1 / 2,
    "hellaswag": 1 / 4,
    "winogrande": 1 / 2,
    "arc_easy": 1 / 4,  # a few of its questions have three or five answers
    "arc_challenge": 1 / 4,
    "openbookqa": 1 / 4,
    "social_iqa": 1 / 3,
    "lambada_openai": 0.0,  # any word may be the answer
    "offline_last_word": 0.0,
    "offline_continuation": 1 / CONTINUATION_CHOICES,
    **{f"recall_needle_{distance}": 1 / RECALL_CHOICES for distance in NEEDLE_DISTANCES},
    **{f"recall_latest_{distance}": 1 / 2 for distance in LATEST_DISTANCES},
    **{f"recall_pairs_{count}": 1 / min(RECALL_CHOICES, count) for count in PAIR_COUNTS},
}


def chance(task: str) -> float | None:
    """On one task; None where it is not known."""
    return _CHANCE.get(task)


def mean_chance(tasks: Iterable[str]) -> float | None:
    """In the mean over tasks; None where that of one is not known."""
    found = [chance(task) for task in tasks]
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(found) else None


def chance_text(value: float | None, missing: str = "") -> str:
    """As text: ``0.25``."""
    return missing if value is None else f"{value:.3g}"

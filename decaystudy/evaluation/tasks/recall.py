"""The group ``recall``: questions in the language of the data source of that name.

recall_needle_D   one value among filler, asked for D tokens later
recall_latest_D   two values, the second 16 tokens after the first, asked for D tokens after the second: which is it?
recall_pairs_N    N pairs, then some of their keys with their values, then one more key (multi-query associative recall)

The answer is one of up to eight values: for a needle any, so that chance is 1/8; else one that was stated, so that it
is 1/2 of two, and of N pairs 1/N but 1/8 at least. Training never shows two needles at once: the later one is what a
decay prefers by itself.
"""

from __future__ import annotations

from typing import Any

from decaystudy.data.draws import Draws
from decaystudy.data.sources import recall as source
from decaystudy.data.sources.recall import VALUES, text
from decaystudy.evaluation.tasks.catalog import LATEST_DISTANCES, NEEDLE_DISTANCES, PAIR_COUNTS
from decaystudy.evaluation.tasks.chance import RECALL_CHOICES
from decaystudy.io import digest

VERSION = 1
QUESTIONS = 256
LEAD = 16
"""Words of filler before a needle."""

_FORM: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "context",
    "doc_to_target": "label",
    "doc_to_choice": "choices",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
_NEEDLES = {f"recall_needle_{distance}": distance for distance in NEEDLE_DISTANCES}
_LATEST = {f"recall_latest_{distance}": distance for distance in LATEST_DISTANCES}
_PAIRS = {f"recall_pairs_{count}": count for count in PAIR_COUNTS}
TASKS: dict[str, dict[str, Any]] = {name: _FORM for name in (*_NEEDLES, *_LATEST, *_PAIRS)}
"""The tasks as lm-eval reads them, without their data."""


def identity() -> dict[str, Any]:
    """What decides the questions: some of them."""
    return {"version": VERSION, "sample": digest(questions(4))}


def questions(count: int = QUESTIONS) -> dict[str, list[dict[str, Any]]]:
    """``count`` questions of each task."""
    made = {
        name: [needle(Draws(VERSION, 1, distance, number), distance) for number in range(count)]
        for name, distance in _NEEDLES.items()
    }
    for name, distance in _LATEST.items():
        made[name] = [latest(Draws(VERSION, 3, distance, number), distance) for number in range(count)]
    for name, pairs_stated in _PAIRS.items():
        made[name] = [pairs(Draws(VERSION, 2, pairs_stated, number), pairs_stated) for number in range(count)]
    return made


def needle(draws: Draws, distance: int) -> dict[str, Any]:
    """One value to be recalled ``distance`` tokens after it was read, the question mark being the last of these."""
    value = draws.choice(VALUES)
    words = source.needle(draws, value, distance, LEAD)
    return asked(draws, words, value, [other for other in VALUES if other != value])


def latest(draws: Draws, distance: int) -> dict[str, Any]:
    """The later of two values, ``distance`` tokens after it was read."""
    first, second = draws.shuffled(VALUES)[:2]
    filler = source.FillerWords(draws.integer(0, len(source.FILLER)))
    before = [*filler.take(LEAD), first, *filler.take(LEAD - 1), second]
    return asked(draws, [*before, *filler.take(distance - 1), source.ASK], second, [first])


def pairs(draws: Draws, count: int) -> dict[str, Any]:
    """One value of ``count``, asked after up to count − 1 of the others."""
    stated = source.pairs(draws, count)
    *before, (key, value) = draws.shuffled(stated)[: 1 + draws.integer(0, count)]
    words = [word for pair in (*stated, *before) for word in pair]
    return asked(draws, [*words, key], value, [other for _, other in stated if other != value])


def asked(draws: Draws, words: list[str], value: str, others: list[str]) -> dict[str, Any]:
    """A question with its choices in a random order."""
    choices = draws.shuffled([value, *draws.shuffled(others)[: RECALL_CHOICES - 1]])
    return {"context": text(words), "choices": choices, "label": choices.index(value)}


def tokens_read(task: str) -> int:
    """Tokens of the task's longest question, under the tokenizer of the data source."""
    if task in _PAIRS:
        return 4 * _PAIRS[task]
    return LEAD + 1 + _NEEDLES[task] if task in _NEEDLES else 2 * LEAD + 1 + _LATEST[task]

"""The group ``offline``: questions from the embedded corpus's held-out documents, in the forms of known tasks.

offline_last_word      LAMBADA's form: a passage without its last word
offline_continuation   HellaSwag's form: what stands next, and three stretches of other documents

No question holds a sentence that stands in a training document too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from decaystudy.data.config import DataConfig
from decaystudy.data.documents import held_out
from decaystudy.data.draws import permutation
from decaystudy.data.registry import SOURCES
from decaystudy.data.sources.base import Document
from decaystudy.evaluation.tasks.chance import CONTINUATION_CHOICES

VERSION = 1
SOURCE = "python-docs"
QUESTIONS = {"offline_last_word": 300, "offline_continuation": 150}
LONGEST_CONTEXT = 32
SHORTEST_CONTEXT = 10
ENDING = 12
LONGEST_ENDING = 120
STRIDE = 10
_WORD = re.compile(r"[A-Za-z]{2,}")
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")

TASKS: dict[str, dict[str, Any]] = {
    "offline_last_word": {
        "output_type": "loglikelihood",
        "doc_to_text": "context",
        "doc_to_target": "last_word",
        "metric_list": [
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        ],
    },
    "offline_continuation": {
        "output_type": "multiple_choice",
        "doc_to_text": "context",
        "doc_to_target": "label",
        "doc_to_choice": "endings",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
        ],
    },
}
"""The tasks as lm-eval reads them, without their data. Columns are named, since a template costs a millisecond each."""


def held_out_share() -> float:
    """The share of the corpus that is held out in any run that leaves it at its default; questions come from it."""
    return SOURCES[SOURCE].validation_fraction


@functools.cache
def identity() -> dict[str, Any]:
    """What decides the questions."""
    source = SOURCES[SOURCE].open(DataConfig(source=SOURCE))
    return {"version": VERSION, **source.identity(), "share": held_out_share()}


def questions() -> dict[str, list[dict[str, Any]]]:
    """The questions of each task."""
    source = SOURCES[SOURCE].open(DataConfig(source=SOURCE))
    kept: list[Document] = []
    trained: set[str] = set()
    for part in source.parts():
        for document in source.documents(part):
            if held_out(document.id, held_out_share()):
                kept.append(document)
            else:
                trained.update(_SENTENCE_END.split(one_line(document.text)))
    texts = [(document.id, [s for s in _SENTENCE_END.split(one_line(document.text)) if s]) for document in kept]
    return {
        "offline_last_word": scattered(list(last_words(texts, trained)), "offline_last_word"),
        "offline_continuation": list(continuations(texts, trained)),
    }


def last_words(texts: list[tuple[str, list[str]]], trained: set[str]) -> Iterator[dict[str, Any]]:
    """Passages of sentences that aren't trained on, each cut after a word of letters, which is asked for."""
    for name, sentences in texts:
        words = " ".join(sentence for sentence in sentences if sentence not in trained).split(" ")
        place = SHORTEST_CONTEXT
        while place < len(words):
            if _WORD.fullmatch(words[place]):
                context = " ".join(words[max(0, place - LONGEST_CONTEXT) : place])
                yield {"id": name, "context": context, "last_word": f" {words[place]}"}
                place += STRIDE - 1
            place += 1


def continuations(texts: list[tuple[str, list[str]]], trained: set[str]) -> Iterator[dict[str, Any]]:
    """Context, four endings and the place of the true one; the others continue other documents."""
    cuts = []
    for name, sentences in texts:
        words = " ".join(sentence for sentence in sentences if sentence not in trained).split(" ")
        for cut in range(SHORTEST_CONTEXT, len(words) - ENDING + 1, 2 * ENDING):
            context, ending = " ".join(words[max(0, cut - LONGEST_CONTEXT) : cut]), " ".join(words[cut : cut + ENDING])
            if len(ending) <= LONGEST_ENDING:  # no rulers of tables
                cuts.append((name, context, ending))
    for number, (name, context, ending) in enumerate(scattered(cuts, "offline_continuation")):
        order = permutation(len(cuts), number, 1).tolist()
        others = [cuts[i][2] for i in order if cuts[i][0] != name and cuts[i][2] != ending][: CONTINUATION_CHOICES - 1]
        label = int(permutation(CONTINUATION_CHOICES, number, 2)[0])
        yield {"id": name, "context": context, "endings": [*others[:label], ending, *others[label:]], "label": label}


def scattered(questions: list[Any], task: str) -> list[Any]:
    """As many of the questions as the task has, from all over the corpus, in a fixed order."""
    order = permutation(len(questions), len(questions))[: QUESTIONS[task]]
    return [questions[i] for i in order]


def one_line(text: str) -> str:
    """The text with every run of white space made one space."""
    return " ".join(text.split())

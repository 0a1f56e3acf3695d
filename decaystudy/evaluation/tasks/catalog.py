"""Which tasks there are: the groups of this package, and any task of lm-eval by name."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.errors import UserError

PAPER = {
    "wikitext": "wikitext",
    "lambada_openai": "lambada",
    "boolq": "super_glue/boolq",
    "piqa": "piqa",
    "hellaswag": "hellaswag",
    "winogrande": "winogrande",
    "arc_easy": "arc",
    "arc_challenge": "arc",
    "openbookqa": "openbookqa",
    "social_iqa": "siqa",
}
"""The tasks of arXiv 2509.05282, and the folder of lm-eval that holds each: reading all of its 14,000 takes 15 s."""

OFFLINE = ("offline_last_word", "offline_continuation")
"""Tasks made from the embedded corpus's held-out documents."""

NEEDLE_DISTANCES = (1, 2, 4, 8, 16, 32, 64, 128, 192)
LATEST_DISTANCES = (1, 4, 16, 64, 128)
PAIR_COUNTS = (2, 4, 8, 16)
RECALL = (
    *(f"recall_needle_{distance}" for distance in NEEDLE_DISTANCES),
    *(f"recall_latest_{distance}" for distance in LATEST_DISTANCES),
    *(f"recall_pairs_{count}" for count in PAIR_COUNTS),
)
"""Synthetic recall: one needle at a distance in tokens, the later of two needles, and many key-value pairs."""

GROUPS: dict[str, tuple[str, ...]] = {"paper": tuple(PAPER), "offline": OFFLINE, "recall": RECALL}
GROUP_SUMMARIES = {
    "paper": "the paper's ten: " + ", ".join(PAPER),
    "offline": "last words and continuations of the embedded corpus's held-out documents; needs no network",
    "recall": "synthetic: a needle at a distance, the later of two, pairs (for runs trained on --data.source recall)",
}
OWN = (*OFFLINE, *RECALL)


def resolve(tasks: str | Sequence[str]) -> list[str]:
    """Task names, each once, from names and groups, such as ``offline,piqa``.

    Raises:
        UserError: nothing is named.
    """
    words = tasks.split(",") if isinstance(tasks, str) else list(tasks)
    names: dict[str, None] = {}
    for word in (word.strip() for word in words):
        for name in GROUPS.get(word, (word,) if word else ()):
            names[name] = None
    if not names:
        raise UserError(f"--tasks names no task: give groups ({', '.join(GROUPS)}) or tasks of lm-eval, such as piqa")
    return list(names)

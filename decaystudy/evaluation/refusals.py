"""Questions that a model can't be asked fairly: refused before it is trained, if its settings tell. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.data.config import trained_kind
from decaystudy.data.sources.recall import Recall
from decaystudy.errors import UserError
from decaystudy.evaluation import offline, recall

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

    from decaystudy.training.run_config import RunConfig


def refuse_settings(config: RunConfig, run: str, names: Sequence[str]) -> None:
    """Refuse tasks that a run of these settings can't answer.

    Args:
        run: what the run is called, a folder or a cell.

    Raises:
        UserError: a task asks about what is trained on, or in other words, or over longer distances.
    """
    for name in names:
        refuse_trained_questions(config, run, name)
        refuse_other_words(config.data.tokenizer_name, run, name)
        refuse_longer_questions(config.data.sequence_length, run, name)


def refuse_trained_questions(config: RunConfig, run: str, name: str) -> None:
    """Refuse an offline task for a run that is trained on documents that it asks about."""
    data = config.data
    if name in offline.TASKS and data.source == offline.SOURCE and data.held_out_share < offline.held_out_share():
        raise UserError(
            f"{run} holds out {data.held_out_share:g} of the documents and {name} asks about "
            f"{offline.held_out_share():g} of them: it is trained on some of the answers; leave the task out"
        )


def refuse_other_words(tokenizer: str, run: str, name: str) -> None:
    """Refuse text for a closed vocabulary, where every other word is the same token and easily told; and recall for
    another tokenizer, which counts distances otherwise."""
    if name in recall.TASKS and tokenizer != Recall.tokenizer:
        raise UserError(
            f"{name} counts words and {run} has the tokenizer {tokenizer}: it is for runs with --data.source recall "
            "--data.tokenizer auto; leave the task out"
        )
    if name not in recall.TASKS and trained_kind(tokenizer) == "words":
        raise UserError(
            f"{run} knows only the words of {tokenizer} and {name} has others, which would all count as one and the "
            "same answer: leave the task out, or name --tasks recall"
        )


def refuse_longer_questions(length: int, run: str, name: str) -> None:
    """Refuse recall over distances that sequences of this length don't hold: cut to fit, a question has no answer."""
    if name in recall.TASKS and recall.tokens_read(name) > length:
        raise UserError(
            f"{name} asks over {recall.tokens_read(name)} tokens and {run} is trained on {length} at once: "
            "leave the task out, or train with a longer --data.sequence_length"
        )


def refuse_model(folder: str | Path, model: HFLM, loaded: Mapping[str, dict[str, Any]]) -> None:
    """The same for a model in Hugging Face form, by its tokenizer."""
    fast = getattr(model.tokenizer, "backend_tokenizer", None)
    words = fast.get_vocab_size() if fast is not None and type(fast.model).__name__ == "WordLevel" else None
    for name, task in loaded.items():
        if name not in recall.TASKS:
            if words is not None:
                refuse_other_words(f"words:{words}", str(folder), name)
            continue
        contexts = [doc["context"] for doc in task["tasks"][name].eval_docs]
        longest = max(contexts, key=len)
        tokens = len(model.tok_encode(longest))
        if tokens != len(longest.split()):
            raise UserError(
                f"{name} counts words and {folder} reads {len(longest.split())} of them as {tokens} tokens: "
                "leave the task out"
            )
        if tokens > model.max_length:
            raise UserError(
                f"{name} asks over {tokens} tokens and {folder} takes {model.max_length} at once: leave the task out"
            )

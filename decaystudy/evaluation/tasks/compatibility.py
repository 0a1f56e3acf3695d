"""Tasks that a model can't be asked fairly, refused before it is trained where its settings tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.data.sources.recall import Recall
from decaystudy.data.tokenizers.names import trained_kind
from decaystudy.errors import UserError
from decaystudy.evaluation.tasks import offline, recall

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

    from decaystudy.runs.config import RunConfig


def refuse_settings(config: RunConfig, run: str, names: Sequence[str], advice: str = "leave the task out") -> None:
    """Refuse tasks that a run of these settings can't answer.

    Args:
        run: what the run is called, a folder or a cell.
        advice: what to do about it.

    Raises:
        UserError: a task asks about what is trained on, or in other words, or over longer distances.
    """
    data = config.data
    for name in names:
        if name in recall.TASKS:
            reason = other_words(config) or longer_question(data.sequence_length, name)
        else:
            reason = trained_questions(config, name) or closed_vocabulary(data.tokenizer_name)
        if reason is not None:
            raise UserError(f"{run} can't be asked {name}: {reason}; {advice}")


def other_words(config: RunConfig) -> str | None:
    """Recall counts distances in words of its own, each of them one token."""
    data = config.data
    if data.source == Recall.label and data.tokenizer_name == Recall.tokenizer:
        return None
    return (
        f"it counts words of the source recall under its own tokenizer, not {data.source} under {data.tokenizer_name}"
    )


def longer_question(length: int, name: str) -> str | None:
    """Cut to fit, a question has no answer."""
    tokens = recall.tokens_read(name)
    return f"it reads {tokens} tokens at once, more than --data.sequence_length {length}" if tokens > length else None


def trained_questions(config: RunConfig, name: str) -> str | None:
    """The offline tasks ask about documents that are held out by default."""
    data, asked = config.data, offline.held_out_share()
    if name not in offline.TASKS or data.source != offline.SOURCE or data.held_out_share >= asked:
        return None
    return (
        f"it asks about {asked:g} of the documents and {data.held_out_share:g} of them are held out, so that some of "
        "the answers are trained on"
    )


def closed_vocabulary(tokenizer: str) -> str | None:
    """Where every other word is the same token, it is easily told."""
    if trained_kind(tokenizer) != "words":
        return None
    return f"it has words that {tokenizer} doesn't know, which would all count as one and the same answer"


def closed_words(tokenizer: Any) -> int | None:
    """The size of a tokenizer's closed vocabulary, in Hugging Face form; None if it can spell other words."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return fast.get_vocab_size() if fast is not None and type(fast.model).__name__ == "WordLevel" else None


def refuse_model(folder: str | Path, model: HFLM, loaded: Mapping[str, dict[str, Any]]) -> None:
    """The same for a model in Hugging Face form, by its tokenizer."""
    words = closed_words(model.tokenizer)
    for name, task in loaded.items():
        reason = None if words is None else closed_vocabulary(f"words:{words}")
        if name in recall.TASKS:
            reason = unfit_for_recall(model, list(task["tasks"][name].eval_docs))
        if reason is not None:
            raise UserError(f"{folder} can't be asked {name}: {reason}; leave the task out")


def unfit_for_recall(model: HFLM, questions: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a model can't be asked these questions; None if it can."""
    longest = max((question["context"] for question in questions), key=len)
    words, tokens = len(longest.split()), len(model.tok_encode(longest))
    if tokens != words:
        return f"it counts words, and {words} of them are read as {tokens} tokens"
    if any(len({tuple(model.tok_encode(c)) for c in q["choices"]}) < len(q["choices"]) for q in questions):
        return "several of its answers are read as the same token"
    longest_read = getattr(model.config, "training_length", model.max_length)
    if tokens > longest_read:
        return f"it reads {tokens} tokens at once, more than the model's {longest_read}"
    return None

"""Losses of a run's model on its held-out text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from decaystudy.data.stream.validation import ValidationSet
from decaystudy.errors import UserError
from decaystudy.metrics import bits_per_byte, perplexity
from decaystudy.model import DecayTransformer
from decaystudy.model.losses import next_token_losses
from decaystudy.model.resets import document_starts
from decaystudy.runs.evaluation import Validation
from decaystudy.runs.loading import LoadedRun

TOKENS_AT_ONCE = 4096
MEMORY_AT_ONCE = 2**30


def held_out_blocks(run: LoadedRun, sequence_length: int | None = None) -> NDArray[np.integer[Any]]:
    """The run's validation tokens in blocks of ``sequence_length`` (the run's own unless given) + 1: (N, T + 1) ids.

    Raises:
        UserError: they don't fill one block.
    """
    return ValidationSet.of(run.corpus, run.config.data, sequence_length).blocks


@torch.inference_mode()
def token_losses(
    model: DecayTransformer, blocks: NDArray[np.integer[Any]], *, reset_after: int | None = None
) -> NDArray[np.float64]:
    """−log p of each next token in nats, (N, T) float64, for N blocks of T + 1 tokens.

    Only real tokens have a probability: the padding of the vocabulary takes no part.

    Args:
        reset_after: the state is cleared after this token.
    """
    device = model.embedding.weight.device
    length = blocks.shape[1] - 1
    rows = rows_at_once(length, model.config.padded_vocab_size)
    losses = []
    for start in range(0, len(blocks), rows):
        tokens = torch.from_numpy(blocks[start : start + rows].astype(np.int64)).to(device)
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        logits = model(inputs, resets=document_starts(inputs, reset_after))
        losses.append(next_token_losses(logits, targets, model.config.vocab_size).double().cpu().numpy())
    return np.concatenate(losses)


def rows_at_once(length: int, vocabulary: int) -> int:
    """Sequences of that length to work on together: enough to keep the machine busy, and their logits in memory."""
    tokens = min(TOKENS_AT_ONCE, MEMORY_AT_ONCE // (8 * vocabulary))
    return max(1, tokens // length)


def validation(run: LoadedRun, losses: NDArray[np.float64] | None = None) -> Validation:
    """Loss, perplexity and bits per byte on the run's held-out sequences, with the standard error over sequences.

    Args:
        losses: of each token, (N, T), where they are known.
    """
    if losses is None:
        losses = token_losses(run.model, held_out_blocks(run), reset_after=run.eos_id)
    documents = ValidationSet.of(run.corpus, run.config.data).by_document(run.tokenizer)
    bits = bits_per_byte(documents.sums(losses), documents.bytes)
    losses = losses.mean(axis=1)
    loss = float(losses.mean())
    error = float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else None
    if not math.isfinite(loss):
        raise UserError(f"{run.folder.path}: the validation loss of these weights is {loss}: train the run again")
    return Validation(
        loss=loss,
        loss_stderr=error,
        perplexity=perplexity(loss),
        perplexity_stderr=None if error is None else perplexity(loss) * error,
        sequences=len(losses),
        tokens=int(losses.size * run.config.data.sequence_length),
        bits_per_byte=bits,
        tokenizer=run.tokenizer.digest,
    )

"""Which backend computed the attention of a run: `auto` goes by device, precision and what is installed."""

from __future__ import annotations

import torch

from decaystudy.ops.backends import choose
from decaystudy.ops.call import CallFacts
from decaystudy.runs.config import RunConfig


def attention_backend(config: RunConfig, device: torch.device, micro_batch_size: int) -> str | None:
    """Of the training steps; None for softmax attention, which PyTorch computes."""
    model = config.model
    if model.mixer == "softmax":
        return None
    facts = CallFacts(
        device=device,
        dtype=_dtype(str(config.trainer.get("precision"))),
        batch=micro_batch_size,
        tokens=config.data.sequence_length,
        heads=model.heads,
        key_width=model.head_dim,
        value_width=model.head_dim,
        scalar=model.granularity == "scalar",
        dplr=model.dplr,
        resets=config.data.reset_state_at_documents,
    )
    return choose(facts, model.backend).name


def _dtype(precision: str) -> torch.dtype:
    """That of queries."""
    if precision.startswith("bf16"):
        return torch.bfloat16
    return torch.float64 if precision.startswith("64") else torch.float32

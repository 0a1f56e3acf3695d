"""Where a trained model's decays are: quantiles of λ by layer and head, half-lives and saturation, over real text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.evaluation.perplexity import held_out_blocks
from decaystudy.io import check_file
from decaystudy.metrics import half_life
from decaystudy.model.resets import document_starts
from decaystudy.runs.loading import LoadedRun
from decaystudy.training.decay_statistics import NEAR_ONE, NEAR_ZERO, spread

TOKENS = 16_384
"""Maximum number of tokens read, unless another one is asked for."""
VALUES = 2**24
"""Maximum number of λ kept per layer, from tokens evenly spread over those read."""
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def decay_distribution(run: LoadedRun, text: str | Path | None = None, tokens: int = TOKENS) -> list[dict[str, Any]]:
    """One row per layer.

    Args:
        text: a file of text; the run's held-out text unless given.
        tokens: how many are read at most, in whole sequences from all over the text.

    Returns:
        layer, q05, q25, median, q75, q95, mean, half_life (tokens, ln ½ / ln median; None where it is forever),
        near_zero and near_one (shares of λ below 0.01 and above 0.999), and ``heads``: the same for each head.

    Raises:
        UserError: the model has no decay, or the text cannot be read.
    """
    blocks = text_blocks(run, Path(text)) if text is not None else held_out_blocks(run)[:, :-1]
    gathered = gather(run, spread(blocks, tokens))
    return [
        {"layer": layer, **row(values), "heads": [{"head": h, **row(values[:, h])} for h in range(values.shape[1])]}
        for layer, values in enumerate(gathered)
    ]


@torch.inference_mode()
def gather(run: LoadedRun, blocks: NDArray[np.integer[Any]]) -> list[Tensor]:
    """log λ of each layer, (tokens, heads, dimensions) float32 on the CPU; one dimension at granularity scalar."""
    kept: list[list[Tensor]] = [[] for _ in range(run.config.model.layers)]
    stride = max(1, -(-blocks.size * run.config.model.d_model // VALUES))
    for block in blocks:
        tokens = torch.from_numpy(block[None].astype(np.int64)).to(run.device)
        for layer, log_decay in enumerate(run.model.log_decays(tokens, resets=document_starts(tokens, run.eos_id))):
            values = log_decay if log_decay.dim() == 4 else log_decay.unsqueeze(-1)
            kept[layer].append(values[0, ::stride].float().cpu())
    return [torch.cat(values) for values in kept]


def row(log_decays: Tensor) -> dict[str, Any]:
    """The statistics of any number of log λ, in float64, which tells λ = 0.999999999 from 1."""
    decays = np.exp(log_decays.flatten().double().numpy())
    found = dict(zip(QUANTILES, np.quantile(decays, list(QUANTILES.values())).tolist(), strict=True))
    return {
        **found,
        "mean": float(decays.mean()),
        "half_life": half_life(found["median"]),
        "near_zero": float((decays < NEAR_ZERO).mean()),
        "near_one": float((decays > NEAR_ONE).mean()),
    }


def text_blocks(run: LoadedRun, file: Path) -> NDArray[np.integer[Any]]:
    """The tokens of a file in blocks of the run's sequence length, (N, T); a shorter text is one shorter block.

    Raises:
        UserError: it cannot be read as text, or it is empty.
    """
    try:
        check_file(file, "--text ")
        content = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read --text {file}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--text {file} is not UTF-8 text at byte {error.start}: save it as UTF-8") from error
    ids = np.array(run.tokenizer.encode(content), dtype=np.int64)
    if not len(ids):
        raise UserError(f"--text {file} is empty: give a file with some text")
    width = min(len(ids), run.config.data.sequence_length)
    return ids[: len(ids) // width * width].reshape(-1, width)

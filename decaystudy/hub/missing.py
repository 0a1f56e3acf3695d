"""Weights of a model that are in none of its files: never memory as it was found, nor drawn at random in silence."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from decaystudy.errors import UserError

EXPORTED = "restore it from a copy, or export the run again"
FETCHED = "fetch it again, or choose a model that has all of them"


def refuse_missing(facts: Mapping[str, Any], needed: Collection[str], advice: str) -> None:
    """Refuse a model some of whose weights are in no file.

    Args:
        facts: what ``from_pretrained`` tells with ``output_loading_info``.
        needed: names of the tensors that must come from a file.

    Raises:
        UserError: which are missing.
    """
    missing = sorted({*facts["missing_keys"]} & {*needed})
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"its weights lack {missing[0]}{more}: {advice}")


def advice_on(source: str | os.PathLike[str] | None) -> str:
    """What to do about a model of this package that lacks weights, by where it is from."""
    return EXPORTED if source is None or Path(source).is_dir() else FETCHED


def start_others(model: PreTrainedModel, facts: Mapping[str, Any]) -> None:
    """Give start values to weights that have another size in the file, where the caller has allowed that."""
    names = [found[0] for found in facts["mismatched_keys"]]
    if not names:
        return
    starts, held = type(model)(model.config).state_dict(), model.state_dict()
    with torch.no_grad():
        for name in names:
            held[name].copy_(starts[name])

"""AdamW with weight decay on matrices only."""

from __future__ import annotations

import torch
from torch import nn

from decaystudy.runs.recipe import RecipeConfig


def parameter_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters with and without weight decay.

    Linear maps and embeddings have it; norms, the decays' own parameters (A_log, Δ, bounds, θ) and TPE's q, k and θ
    don't.
    """
    decayed = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Linear, nn.Embedding))}
    with_decay = [p for p in model.parameters() if p.requires_grad and id(p) in decayed]
    without = [p for p in model.parameters() if p.requires_grad and id(p) not in decayed]
    return with_decay, without


def make_optimizer(model: nn.Module, recipe: RecipeConfig) -> torch.optim.AdamW:
    """AdamW over the groups of ``parameter_groups``."""
    with_decay, without = parameter_groups(model)
    groups = [{"params": with_decay, "weight_decay": recipe.weight_decay}]
    if without:
        groups.append({"params": without, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon, fused=True)

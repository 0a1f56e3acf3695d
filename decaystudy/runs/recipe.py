"""The recipe of a run: optimizer, learning rate, batch sizes and cadences."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.errors import UserError


@dataclass
class RecipeConfig:
    """How a model is trained. The learning rate follows warm-up, stable, decay (WSD)."""

    learning_rate: float = 3e-4
    """Peak learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's β."""
    epsilon: float = 1e-8
    """AdamW's ε."""
    weight_decay: float = 0.1
    """AdamW's weight decay, for matrices only: not for norms, decay parameters and TPE's vectors."""
    warmup_steps: int = 1000
    """Steps over which the learning rate rises linearly from zero."""
    decay_fraction: float = 0.2
    """Fraction of all steps, at the end, over which the learning rate falls linearly."""
    final_fraction: float = 0.1
    """Final learning rate, as a fraction of its peak."""
    global_batch_size: int = 256
    """Sequences per step, over all devices and accumulated micro-batches."""
    micro_batch_size: int = 32
    """Maximum micro-batch size per device, in sequences. Affects memory and speed, not results."""
    validate_every: int = 1000
    """Steps between validations; there is always one at the end."""
    checkpoint_every: int = 500
    """Steps between checkpoints; there is always one at the end."""

    def __post_init__(self) -> None:
        self.betas = (float(self.betas[0]), float(self.betas[1]))
        if self.warmup_steps < 0:
            raise UserError(f"recipe.warmup_steps is {self.warmup_steps}: give 0 or more")
        for name in ("global_batch_size", "micro_batch_size", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"recipe.{name} is {getattr(self, name)}: give at least 1")
        if not self.learning_rate > 0:
            raise UserError(f"recipe.learning_rate is {self.learning_rate}: give a number above 0")
        for name in ("decay_fraction", "final_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"recipe.{name} is {getattr(self, name)}: give a number from 0 to 1")
        for beta in self.betas:
            if not 0 <= beta < 1:
                raise UserError(f"recipe.betas holds {beta}: give two numbers from 0 to below 1")
        if self.weight_decay < 0 or self.epsilon <= 0:
            raise UserError("recipe.weight_decay must be 0 or more, and recipe.epsilon above 0")

"""The recipe of a run: optimizer, learning rate, batch sizes and cadences."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.checks import MOST_STEPS, check_flag, check_number, check_whole, refusal

MOST_SEQUENCES = 2**16
"""Sequences of a step: 2**27 tokens at length 2048, eight times the largest batches in use."""


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
    warmup_steps: int | None = None
    """Steps over which the learning rate rises linearly from zero; unset is the scale's share of the run."""
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
    telemetry_every: int | None = None
    """Steps between looks at λ on a sample of held-out text, with one at step 0 and one at the end; unset: 200 over the
    run, at least 10 steps apart. Affects curves, not results."""
    activation_checkpointing: bool = False
    """Keep only each block's input for the backward pass and compute the rest again: less memory, a third more time."""

    def __post_init__(self) -> None:
        if not isinstance(self.betas, (list, tuple)) or len(self.betas) != 2:
            raise refusal("recipe.betas", self.betas, "two numbers, such as [0.9, 0.999]")
        for beta in self.betas:
            check_number("recipe.betas: each", beta, 0, 1, without_high=True)
        self.betas = (float(self.betas[0]), float(self.betas[1]))
        check_number("recipe.learning_rate", self.learning_rate, 0, 1e4, without_low=True)
        check_number("recipe.epsilon", self.epsilon, 0, 1, without_low=True)
        check_number("recipe.weight_decay", self.weight_decay, 0, 1e3)
        check_number("recipe.decay_fraction", self.decay_fraction, 0, 1)
        check_number("recipe.final_fraction", self.final_fraction, 0, 1)
        if self.warmup_steps is not None:
            check_whole("recipe.warmup_steps", self.warmup_steps, 0, MOST_STEPS)
        check_whole("recipe.global_batch_size", self.global_batch_size, 1, MOST_SEQUENCES)
        check_whole("recipe.micro_batch_size", self.micro_batch_size, 1, MOST_SEQUENCES)
        check_whole("recipe.validate_every", self.validate_every, 1, MOST_STEPS)
        check_whole("recipe.checkpoint_every", self.checkpoint_every, 1, MOST_STEPS)
        if self.telemetry_every is not None:
            check_whole("recipe.telemetry_every", self.telemetry_every, 1, MOST_STEPS)
        check_flag("recipe.activation_checkpointing", self.activation_checkpointing)

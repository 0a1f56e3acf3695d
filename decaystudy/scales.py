"""The sizes at which studies run: for each a model shape, a sequence length, a recipe and Trainer settings.

Plain data: the numbers of 160m, 410m and 1.45b are those of arXiv 2509.05282 (8 × A100); what its text leaves open
(warm-up, decay share, weight decay, clipping) is ours. ``tiny``, ``mini`` and ``small`` are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from decaystudy.errors import unknown


@dataclass(frozen=True)
class Scale:
    """One size; each dictionary holds what differs from the defaults of the section of that name."""

    name: str
    summary: str
    model: dict[str, Any]
    data: dict[str, Any]
    recipe: dict[str, Any]
    trainer: dict[str, Any]
    threads: int | None = None
    """CPU threads of a run. Fixed where runs are expected on a CPU, whose sums depend on it."""

    @property
    def tokens(self) -> int:
        """Tokens of a run of the scale's own length."""
        tokens: int = self.trainer["max_steps"] * self.recipe["global_batch_size"] * self.data["sequence_length"]
        return tokens

    def warmup_steps(self, max_steps: int) -> int:
        """The warm-up of a run of that many steps: the same share of it as at the scale's own number, at least 1."""
        steps: int = round(self.recipe["warmup_steps"] / self.trainer["max_steps"] * max_steps)
        return max(1, steps)


def _recipe(
    batch: int, micro_batch: int, learning_rate: float, *, warmup: int, validate: int, checkpoint: int
) -> dict[str, Any]:
    return {
        "global_batch_size": batch,
        "micro_batch_size": micro_batch,
        "learning_rate": learning_rate,
        "warmup_steps": warmup,
        "validate_every": validate,
        "checkpoint_every": checkpoint,
    }


def _paper(name: str, summary: str, micro_batch_size: int, **model: Any) -> Scale:
    return Scale(
        name,
        summary,
        model={"vocab_size": 50257, **model},
        data={"source": "fineweb-edu", "tokenizer": "gpt2", "sequence_length": 2048},
        recipe=_recipe(256, micro_batch_size, 3e-4, warmup=1000, validate=1000, checkpoint=500),
        trainer={"max_steps": 20_000, "precision": "bf16-mixed"},
    )


SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            "tiny",
            "3 layers of 128, 1.2 M parameters: under a minute a run on one CPU core",
            model={"layers": 3, "d_model": 128, "heads": 2, "glu_width": 352, "vocab_size": 2048},
            data={"source": "python-docs", "tokenizer": "auto", "sequence_length": 256},
            # Short, slow and down to zero, for little noise between seeds: benchmarks/RESULTS.md.
            recipe=_recipe(8, 8, 1e-3, warmup=10, validate=45, checkpoint=45)
            | {"decay_fraction": 0.5, "final_fraction": 0.0},
            trainer={"max_steps": 90, "precision": "32-true"},
            threads=1,
        ),
        Scale(
            "mini",
            "5 layers of 384, 15.6 M parameters (6.3 M of them the vocabulary), 20 M tokens: short runs on one GPU",
            model={"layers": 5, "d_model": 384, "heads": 6, "glu_width": 1024, "vocab_size": 8192},
            data={"source": "fineweb-edu", "tokenizer": "bpe:8192", "sequence_length": 512},
            recipe=_recipe(64, 64, 2e-3, warmup=60, validate=153, checkpoint=306),
            trainer={"max_steps": 612, "precision": "bf16-mixed"},
        ),
        Scale(
            "small",
            "8 layers of 384, about 54 M parameters with GPT-2's vocabulary: minutes a run on one GPU",
            model={"layers": 8, "d_model": 384, "heads": 3, "glu_width": 1024, "vocab_size": 50257},
            data={"source": "fineweb-edu", "tokenizer": "gpt2", "sequence_length": 1024},
            recipe=_recipe(64, 16, 6e-4, warmup=200, validate=250, checkpoint=250),
            trainer={"max_steps": 2000, "precision": "bf16-mixed"},
        ),
        _paper(
            "160m",
            "12 layers of 768, 167 M parameters, 10.5 B tokens",
            16,
            layers=12,
            d_model=768,
            heads=6,
            glu_width=2048,
        ),
        _paper(
            "410m",
            "24 layers of 1024, 424 M parameters, 10.5 B tokens",
            8,
            layers=24,
            d_model=1024,
            heads=8,
            glu_width=2816,
        ),
        _paper(
            "1.45b",
            "24 layers of 2048, 1464 M parameters, 10.5 B tokens",
            4,
            layers=24,
            d_model=2048,
            heads=16,
            glu_width=5632,
        ),
    )
}


def find_scale(name: str) -> Scale:
    """The scale of that name.

    Raises:
        UserError: no such scale; the message names the nearest one.
    """
    if name not in SCALES:
        raise unknown("scale", name, SCALES)
    return SCALES[name]

"""Lightning's Trainer settings: which a run obeys, with their ranges, and why it refuses the others. Needs no torch.

A test compares the two tables with the installed Trainer, so that a new setting of Lightning's is never passed on
unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from decaystudy.checks import MOST_STEPS, check_flag, check_number, check_whole, check_word, refusal
from decaystudy.errors import UserError, unknown
from decaystudy.runs.recipe import MOST_SEQUENCES
from decaystudy.runs.time_limit import check_time_limit

Check = Callable[[str, Any], None]

STRATEGIES = ("auto", "ddp", "fsdp")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "bf16-true", "32", "64", "bf16")
PROFILERS = ("simple", "advanced")
MOST_DEVICES = 4096


def _whole(low: int, high: int) -> Check:
    return lambda name, value: check_whole(name, value, low, high)


def _word(*choices: str) -> Check:
    return lambda name, value: check_word(name, value, choices)


def check_devices(name: str, value: Any) -> None:
    """A number of devices, auto (or -1), or indices of GPUs."""
    advice = "or a list of GPU indices such as [0, 1], or auto"
    listed = value.split(",") if isinstance(value, str) and "," in value else value
    if isinstance(listed, (list, tuple)):
        indices = [
            int(item) if isinstance(item, str) and item.strip().isdecimal() and len(item) < 20 else item
            for item in listed
        ]
        if not indices:
            raise refusal(name, value, "at least one index", advice)
        for index in indices:
            check_whole(f"{name}: the index", index, 0, MOST_DEVICES - 1)
        if len(set(indices)) != len(indices):
            raise refusal(name, value, "each index once")
        return
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20 else value
    if number not in ("auto", "-1", -1):
        check_whole(name, number, 1, MOST_DEVICES, advice=advice)


def check_precision(name: str, value: Any) -> None:
    """A precision in which runs are known to train; 32 and 64 may be numbers."""
    if str(value) in ("16", "16-mixed", "16-true"):
        raise UserError(
            f"{name} is {value!r}: float16 needs its gradients scaled, which the fused optimizer would clip as they "
            "are: use bf16-mixed"
        )
    check_word(name, str(value) if type(value) is int else value, PRECISIONS)


def check_deterministic(name: str, value: Any) -> None:
    """true, false, or warn: Lightning then only warns of operations that are not deterministic."""
    if value != "warn":
        check_flag(name, value)


OBEYED: dict[str, Check] = {
    "accelerator": _word(*ACCELERATORS),
    "devices": check_devices,
    "num_nodes": _whole(1, MOST_DEVICES),
    "precision": check_precision,
    "max_steps": _whole(1, MOST_STEPS),
    "max_time": check_time_limit,
    "num_sanity_val_steps": _whole(-1, MOST_STEPS),
    "log_every_n_steps": _whole(1, MOST_STEPS),
    "enable_progress_bar": check_flag,
    "enable_model_summary": check_flag,
    "accumulate_grad_batches": _whole(1, MOST_SEQUENCES),
    "gradient_clip_val": lambda name, value: check_number(name, value, 0, 1e9),
    "gradient_clip_algorithm": _word("norm", "value"),
    "deterministic": check_deterministic,
    "benchmark": check_flag,
    "inference_mode": check_flag,
    "profiler": _word(*PROFILERS),
    "detect_anomaly": check_flag,
}
"""Settings that are passed on to the Trainer; null leaves each to its default."""

REFUSED: dict[str, str] = {
    "strategy": "it has a flag of its own: use --strategy",
    "default_root_dir": "a run's folder is --out",
    "logger": "it has a flag of its own: use --logger",
    "callbacks": "a run's callbacks are part of the package",
    "enable_checkpointing": "every run keeps checkpoints: set recipe.checkpoint_every",
    "max_epochs": "the token stream has no epochs: use --trainer.max_steps",
    "min_epochs": "the token stream has no epochs: use --trainer.max_steps",
    "min_steps": "a run ends at --trainer.max_steps",
    "check_val_every_n_epoch": "the token stream has no epochs: use --recipe.validate_every",
    "val_check_interval": "a run counts steps between validations: use --recipe.validate_every",
    "reload_dataloaders_every_n_epochs": "the token stream has no epochs",
    "use_distributed_sampler": "the data module splits the stream itself",
    "limit_train_batches": "it would train on the same tokens again and record them as new ones: "
    "use --trainer.max_steps for a shorter run",
    "limit_val_batches": "a run's loss is that of all of its held-out tokens: use --data.validation_tokens for fewer",
    "overfit_batches": "it would train on other tokens than the run records",
    "limit_test_batches": "a run has no test stage: see decaystudy evaluate",
    "limit_predict_batches": "a run has no predict stage: see decaystudy generate",
    "fast_dev_run": "use --trainer.max_steps 1",
    "barebones": "it would turn off what a run must record",
    "enable_autolog_hparams": "config.yaml records the settings",
    "model_registry": "a run keeps its model in its folder",
    "plugins": "they are Python objects: --trainer.precision and --strategy choose what a run needs of them",
    "sync_batchnorm": "the model has no batch normalisation",
}
"""The other settings of the Trainer, with the reason why each is refused."""

# Settings that can change results beyond rounding. The others are no part of a run's identity.
DECISIVE = ("max_steps", "precision", "gradient_clip_val", "gradient_clip_algorithm")


def check_trainer_settings(values: Any) -> None:
    """Refuse Trainer settings that don't exist, have no sensible value, or would break a promise of the package."""
    if not isinstance(values, Mapping):
        raise refusal("trainer", values, "settings by name, such as max_steps: 1000")
    for key, value in values.items():
        name = f"trainer.{key}"
        if key in REFUSED:
            raise UserError(f"{name} cannot be set: {REFUSED[key]}")
        if key not in OBEYED:
            raise unknown("Trainer setting", name, [f"trainer.{known}" for known in OBEYED])
        if value is not None or key == "max_steps":
            OBEYED[key](name, value)
    if "max_steps" not in values:
        raise UserError("trainer.max_steps is not set: give a whole number of steps")

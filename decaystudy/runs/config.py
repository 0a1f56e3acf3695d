"""The configuration of a run: what ``fit`` is given, what config.yaml holds, and what makes two runs the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decaystudy import __version__
from decaystudy.data.config import DataConfig, token_stream_fingerprint, vocabulary_size
from decaystudy.decay import decay_class
from decaystudy.errors import UserError, unknown
from decaystudy.model.config import ModelConfig
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.scales import SCALES, find_scale
from decaystudy.source import source_digest

SECTIONS = {"model": ModelConfig, "data": DataConfig, "recipe": RecipeConfig}

# Settings of Lightning's Trainer that a run may set; a test compares them with the installed Trainer's.
TRAINER_SETTINGS = (
    "accelerator",
    "devices",
    "num_nodes",
    "precision",
    "max_steps",
    "max_time",
    "limit_train_batches",
    "limit_val_batches",
    "val_check_interval",
    "num_sanity_val_steps",
    "log_every_n_steps",
    "enable_progress_bar",
    "enable_model_summary",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "deterministic",
    "benchmark",
    "inference_mode",
    "profiler",
    "detect_anomaly",
    "sync_batchnorm",
    "plugins",
)
# The other settings of the Trainer, with the reason why each is refused.
REFUSED_TRAINER_SETTINGS = {
    "strategy": "it has a flag of its own: use --strategy",
    "default_root_dir": "a run's folder is --out",
    "logger": "it has a flag of its own: use --logger",
    "callbacks": "a run's callbacks are part of the package",
    "enable_checkpointing": "every run keeps checkpoints: set recipe.checkpoint_every",
    "max_epochs": "the token stream has no epochs: use --trainer.max_steps",
    "min_epochs": "the token stream has no epochs: use --trainer.max_steps",
    "min_steps": "a run ends at --trainer.max_steps",
    "check_val_every_n_epoch": "the token stream has no epochs: use --recipe.validate_every",
    "reload_dataloaders_every_n_epochs": "the token stream has no epochs",
    "use_distributed_sampler": "the data module splits the stream itself",
    "overfit_batches": "it would train on other tokens than the run records",
    "limit_test_batches": "a run has no test stage: see decaystudy evaluate",
    "limit_predict_batches": "a run has no predict stage: see decaystudy generate",
    "fast_dev_run": "use --trainer.max_steps 1",
    "barebones": "it would turn off what a run must record",
    "enable_autolog_hparams": "config.yaml records the settings",
    "model_registry": "a run keeps its model in its folder",
}
# Trainer settings that can change results beyond rounding. The others are no part of a run's identity.
DECISIVE_TRAINER_SETTINGS = (
    "max_steps",
    "precision",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "limit_val_batches",
)
GRADIENT_CLIP = 1.0


@dataclass
class RunConfig:
    """All settings of one training run."""

    scale: str = "tiny"
    """Size that sets the defaults of model, data, recipe and trainer."""
    seed: int = 0
    """Seed of the start values and of the order of the documents."""
    strategy: str = "auto"
    """auto, ddp, fsdp (FSDP2), or another strategy known to Lightning."""
    threads: int | None = None
    """CPU threads per process; unset leaves it to torch."""
    logger: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Where the curves go: names of loggers, or import paths of the user's own; also as one text, tensorboard,csv."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: dict[str, Any] = field(default_factory=dict)
    """Settings of Lightning's Trainer."""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise unknown("scale", self.scale, SCALES)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UserError(f"seed is {self.seed!r}: give a whole number of at least 0")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads is {self.threads!r}: give a whole number of at least 1, or leave it out")
        self.logger = logger_names(self.logger)
        self.data.validate()
        self.model = self.model.with_vocabulary(vocabulary_size(self.data))
        check_trainer_settings(self.trainer)

    @classmethod
    def build(cls, scale: str = "tiny", **changes: Any) -> RunConfig:
        """The run of a scale with ``changes`` to single settings, by section: ``model={"decay": "gla"}``."""
        return cls.from_dict(merge(scale_defaults(scale), changes))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """From nested dictionaries, as in config.yaml. An unknown key is a ``UserError`` that names the nearest one."""
        known = [f.name for f in dataclasses.fields(cls)]
        built: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise unknown("setting", key, known)
            built[key] = build_section(key, value) if key in SECTIONS else value
        return cls(**built)

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries, as in config.yaml (without the vocabulary size, which follows from the tokenizer)."""
        values = dataclasses.asdict(self)
        del values["model"]["vocab_size"]
        values["recipe"]["betas"] = list(self.recipe.betas)
        return values

    @property
    def max_steps(self) -> int:
        return int(self.trainer["max_steps"])

    @property
    def tokens(self) -> int:
        """Number of training tokens."""
        return self.max_steps * self.tokens_per_step

    @property
    def tokens_per_step(self) -> int:
        return self.recipe.global_batch_size * self.data.sequence_length

    def identity(self) -> dict[str, Any]:
        """Everything that can change the run's results, and nothing else: no paths, cadences, loggers or devices."""
        model = dataclasses.asdict(self.model)
        model.pop("backend")
        if model["mixer"] == "softmax":
            model["position"] = "rope"
        # Writing out an option's default doesn't make another decay.
        model["decay_options"] = dataclasses.asdict(self.model.make_decay())  # type: ignore[call-overload]
        if "." in model["decay"]:
            model["decay_source"] = source_digest(decay_class(model["decay"]))
        recipe = dataclasses.asdict(self.recipe)
        for name in ("micro_batch_size", "validate_every", "checkpoint_every"):
            recipe.pop(name)
        trainer = {name: self.trainer[name] for name in DECISIVE_TRAINER_SETTINGS if name in self.trainer}
        return {
            "decaystudy": __version__.split(".")[0],
            "model": model,
            "data": {
                **token_stream_fingerprint(self.data),
                "reset_state_at_documents": self.data.reset_state_at_documents,
            },
            "recipe": recipe,
            "trainer": trainer,
            "seed": self.seed,
        }

    def identity_hash(self) -> str:
        """Twelve hexadecimal digits of ``identity``."""
        text = json.dumps(self.identity(), sort_keys=True, default=list)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def scale_defaults(scale: str) -> dict[str, Any]:
    """The settings of a scale as nested dictionaries."""
    found = find_scale(scale)
    model = {key: value for key, value in found.model.items() if key != "vocab_size"}
    return {
        "scale": scale,
        "threads": found.threads,
        "model": model,
        "data": dict(found.data),
        "recipe": dict(found.recipe),
        "trainer": {"gradient_clip_val": GRADIENT_CLIP, **found.trainer},
    }


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` to it. Dictionaries are merged, except that another decay drops the options of the
    first one."""
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            inner = dict(merged[key])
            if key == "model" and value.get("decay", inner.get("decay")) != inner.get("decay"):
                inner.pop("decay_options", None)
            merged[key] = merge(inner, value)
        else:
            merged[key] = value
    return merged


def build_section(name: str, values: Any) -> Any:
    """The dataclass of a section, from a dictionary."""
    section = SECTIONS[name]
    if isinstance(values, section):
        return values
    if not isinstance(values, Mapping):
        raise UserError(f"section {name} is {values!r}: write its settings as name: value")
    known = [f.name for f in dataclasses.fields(section)]
    for key in values:
        if key not in known:
            raise unknown(f"setting of {name}:", key, known)
    return section(**values)


def logger_names(value: Any) -> list[str]:
    """Names from ``tensorboard,csv`` or ``[tensorboard, csv]``, each once. Training checks that they exist."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise UserError(f"logger is {value!r}: name at least one, such as tensorboard or tensorboard,csv")
    return list(dict.fromkeys(name.strip() for name in names))


def check_trainer_settings(values: Mapping[str, Any]) -> None:
    """Refuse Trainer settings that don't exist, or that would break a promise of the package."""
    for key in values:
        if key in REFUSED_TRAINER_SETTINGS:
            raise UserError(f"trainer.{key} cannot be set: {REFUSED_TRAINER_SETTINGS[key]}")
        if key not in TRAINER_SETTINGS:
            raise unknown("Trainer setting", f"trainer.{key}", [f"trainer.{name}" for name in TRAINER_SETTINGS])
    steps = values.get("max_steps")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UserError(f"trainer.max_steps is {steps!r}: give a whole number of at least 1")

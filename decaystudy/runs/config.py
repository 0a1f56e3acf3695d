"""The configuration of a run: what ``fit`` is given, what config.yaml holds, and what makes two runs the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decaystudy import versions
from decaystudy.checks import LARGEST_SEED, check_whole, check_word
from decaystudy.data.config import DataConfig, token_stream_fingerprint, vocabulary_size
from decaystudy.data.registry import find_source
from decaystudy.decay import decay_class, make_decay
from decaystudy.errors import UserError, unknown
from decaystudy.model.config import ModelConfig
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.runs.trainer import DECISIVE, STRATEGIES, check_trainer_settings
from decaystudy.scales import SCALES, find_scale
from decaystudy.source import source_digest

SECTIONS = {"model": ModelConfig, "data": DataConfig, "recipe": RecipeConfig}

GRADIENT_CLIP = 1.0
CADENCES = ("micro_batch_size", "validate_every", "checkpoint_every", "telemetry_every", "activation_checkpointing")
"""Settings of the recipe that change no result."""
LOOKS, LEAST_STEPS_APART = 200, 10
"""How often λ is looked at unless ``recipe.telemetry_every`` says so."""
MOST_THREADS = 4096
# Lightning's short names.
PRECISION_NAMES = {"64": "64-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}


@dataclass
class RunConfig:
    """All settings of one training run."""

    scale: str = "tiny"
    """Size that sets the defaults of model, data, recipe and trainer."""
    seed: int = 0
    """Seed of the start values and of the order of the documents."""
    strategy: str = "auto"
    """auto, ddp or fsdp (FSDP2)."""
    threads: int | None = None
    """CPU threads per process; unset leaves it to torch, or takes 2 beside a GPU."""
    compile: bool | str = "auto"
    """Whether torch.compile fuses each block: auto (on a GPU), true or false. Affects speed and rounding."""
    logger: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Where the curves go: names of loggers, or import paths of the user's own; also as one text, tensorboard,csv."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    trainer: dict[str, Any] = field(default_factory=dict)
    """Settings of Lightning's Trainer."""

    def __post_init__(self) -> None:
        check_word("scale", self.scale, SCALES)
        check_whole("seed", self.seed, 0, LARGEST_SEED)
        check_word("strategy", self.strategy, STRATEGIES)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, MOST_THREADS, advice="or leave it out")
        self.compile = compile_choice(self.compile)
        self.logger = logger_names(self.logger)
        self.data.validate()
        self.model = self.model.with_vocabulary(vocabulary_size(self.data))
        check_trainer_settings(self.trainer)
        self._scale_warms_up = self.recipe.warmup_steps is None
        if self._scale_warms_up:
            self.recipe = dataclasses.replace(self.recipe, warmup_steps=SCALES[self.scale].warmup_steps(self.max_steps))
        # null is a setting's default; of a decisive one it stays, for the Trainer's own default is not the scale's.
        self.trainer = {key: item for key, item in self.trainer.items() if item is not None or key in DECISIVE}

    @classmethod
    def build(cls, scale: str = "tiny", **changes: Any) -> RunConfig:
        """The run of a scale with ``changes`` to single settings, by section: ``model={"decay": "gla"}``."""
        return cls.new(merge(scale_defaults(scale), changes))

    @classmethod
    def new(cls, values: Mapping[str, Any]) -> RunConfig:
        """A run that is yet to be trained, from nested dictionaries: as ``from_dict``, and its schedule must fit."""
        config = cls.from_dict(values)
        written = config.recipe.warmup_steps
        if written is not None and written > config.max_steps:
            raise UserError(
                f"recipe.warmup_steps {written} is longer than the run of {config.max_steps} steps: give at most "
                f"{config.max_steps}, or null for the share that the scale gives to it"
            )
        return config

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

    def as_given(self) -> dict[str, Any]:
        """The same, but a warm-up that nobody has set is unset again, so that it follows a change of max_steps."""
        values = self.to_dict()
        if self._scale_warms_up:
            values["recipe"]["warmup_steps"] = None
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

    @property
    def telemetry_every(self) -> int:
        """Steps between looks at λ."""
        return self.recipe.telemetry_every or max(LEAST_STEPS_APART, self.max_steps // LOOKS)

    def identity(self) -> dict[str, Any]:
        """Everything that can change the run's results, and nothing else: no paths, cadences, loggers or devices.

        Settings that mean the same are the same here, however they are spelled. What the text and the tokenizer are is
        not known from settings; a run records it beside this.
        """
        recipe = dataclasses.asdict(self.recipe)
        for name in CADENCES:
            recipe.pop(name)
        found = {
            "version": versions.semantics(),
            "code": self.code(),
            "model": canonical_model(self.model),
            "data": {
                **token_stream_fingerprint(self.data),
                "reset_state_at_documents": self.data.reset_state_at_documents,
            },
            "recipe": recipe,
            "trainer": canonical_trainer(self.trainer),
            "seed": self.seed,
        }
        return {name: canonical(value) for name, value in found.items()}

    def code(self) -> dict[str, str]:
        """Hashes of the code of the user's own that the run is made of: its decay's and its data source's."""
        own = {}
        if "." in self.model.decay:
            own["decay"] = source_digest(decay_class(self.model.decay))  # type: ignore[arg-type]
        if "." in self.data.source:
            own["source"] = source_digest(find_source(self.data.source))
        return own

    def identity_hash(self) -> str:
        """Twelve hexadecimal digits of ``identity``."""
        text = json.dumps(self.identity(), sort_keys=True, default=list)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def canonical_model(model: ModelConfig) -> dict[str, Any]:
    """What a model is, with defaults written out."""
    values = canonical_settings(dataclasses.asdict(model))
    values["decay_options"] = canonical_options(model.decay, model.decay_options)
    return values


def canonical_settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """The same from the fields of a ``ModelConfig``, whose defaults may be written out already; options as they are."""
    values = {name: value for name, value in model.items() if name != "backend"}
    if values["mixer"] == "softmax":
        values["position"] = "rope"
    values["decay_rank"] = values["decay_rank"] or values["d_model"] // values["heads"]
    return values


def canonical_options(decay: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a decay."""
    return dataclasses.asdict(make_decay(decay, options))  # type: ignore[call-overload,no-any-return]


def canonical_trainer(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer settings that can change results, with Lightning's defaults written out."""
    values = {name: settings[name] for name in DECISIVE if settings.get(name) is not None}
    precision = str(values.get("precision", "32"))
    clip = float(values.pop("gradient_clip_val", 0))
    algorithm = str(values.pop("gradient_clip_algorithm", "norm")).lower()
    found = {**values, "precision": PRECISION_NAMES.get(precision, precision)}
    if clip:
        found |= {"gradient_clip_val": clip, "gradient_clip_algorithm": algorithm}
    return found


def canonical(value: Any) -> Any:
    """Plain data in which equal numbers look the same: 1.0 is 1, a tuple is a list."""
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def scale_defaults(scale: str) -> dict[str, Any]:
    """The settings of a scale as nested dictionaries."""
    found = find_scale(scale)
    model = {key: value for key, value in found.model.items() if key != "vocab_size"}
    recipe = {key: value for key, value in found.recipe.items() if key != "warmup_steps"}
    return {
        "scale": scale,
        "threads": found.threads,
        "model": model,
        "data": dict(found.data),
        "recipe": recipe,
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


def compile_choice(value: Any) -> bool | str:
    """auto, True or False, from any spelling of them in YAML or on a command line."""
    words: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False}
    chosen = words.get(str(value).strip().lower())
    if chosen is None:
        raise UserError(f"compile is {value!r}: give auto, true or false")
    return chosen


def logger_names(value: Any) -> list[str]:
    """Names from ``tensorboard,csv`` or ``[tensorboard, csv]``, each once. Training checks that they exist."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise UserError(f"logger is {value!r}: name at least one, such as tensorboard or tensorboard,csv")
    return list(dict.fromkeys(name.strip() for name in names))

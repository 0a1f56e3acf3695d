"""A run's settings as one flat list by short names, for loggers and tables of runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from decaystudy.data.config import DataConfig
from decaystudy.model.config import ModelConfig
from decaystudy.runs.config import RunConfig, canonical_model, merge, scale_defaults
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.runs.result import RunResult
from decaystudy.scales import SCALES

Value = bool | int | float | str
"""What a setting is in a list; what is no such thing is written as text."""

ALWAYS = ("decay", "granularity", "sharing", "position", "scale", "learning_rate", "seed")
"""Settings that are worth listing at their defaults too."""
PLAIN = ("model", "recipe", "decay_options")
"""Sections whose settings go by their bare names."""
BARE = ("sequence_length", "max_steps", "precision")
"""Settings of the other sections that do too."""


def settings_of(config: RunConfig) -> dict[str, Value]:
    """All settings of a run by short name: ``decay``, ``p``, ``learning_rate``, ``data.source``, ``seed``."""
    values = config.to_dict()
    values["model"]["decay_options"] = canonical_model(config.model)["decay_options"]
    if config.model.mixer == "softmax":
        values["model"]["decay"] = "softmax"
    return flat(values)


def notable_settings(config: RunConfig) -> dict[str, Value]:
    """Those that say what the run is: the design, and whatever differs from the defaults of its scale."""
    sections: dict[str, Any] = {"model": ModelConfig(), "data": DataConfig(), "recipe": RecipeConfig()}
    defaults = {field.name: field.default for field in dataclasses.fields(RunConfig) if field.name not in sections}
    defaults |= {name: dataclasses.asdict(section) for name, section in sections.items()}
    usual = flat(merge(defaults, scale_defaults(config.scale)))
    own = settings_of(config)
    given = flat(config.as_given())
    usual["warmup_steps"] = given["warmup_steps"] if given["warmup_steps"] == "none" else _share(config)
    differing = [name for name, value in given.items() if usual.get(name) != value and name != "logger"]
    return {name: own[name] for name in dict.fromkeys([*ALWAYS, *differing]) if name in own}


def _share(config: RunConfig) -> int:
    """Warm-up of the scale, which config.yaml has as a number."""
    return SCALES[config.scale].warmup_steps(config.max_steps)


def final_numbers(result: RunResult) -> dict[str, float]:
    """The numbers of a finished run by which runs are compared, named as their curves."""
    found = {
        "validation/loss": result.val_loss,
        "validation/perplexity": result.val_perplexity,
        "validation/bits_per_byte": result.val_bits_per_byte,
        "validation/decay_median": statistics.median(row.median for row in result.decay) if result.decay else None,
        "train/tokens_per_second": result.tokens_per_second,
    }
    return {name: value for name, value in found.items() if value is not None}


def flat(values: Mapping[str, Any]) -> dict[str, Value]:
    """Nested settings as one list. An option of a decay that has the name of another setting is told apart."""
    found: dict[str, Value] = {}
    for path, value in sorted(_leaves(values), key=lambda leaf: "decay_options" in leaf[0]):
        *sections, name = path
        bare = not sections or sections[-1] in PLAIN or name in BARE
        label = name if bare and name not in found else ".".join(path[-2:])
        found[label] = value if isinstance(value, (bool, int, float, str)) else _text(value)
    return found


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(name)))
        else:
            yield (*path, str(name)), value


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

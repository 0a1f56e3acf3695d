"""Whether the config.json of a local folder is that of the weights beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.hub.config import DecayStudyConfig, all_fields
from decaystudy.hub.trust import refuse_untrusted
from decaystudy.io import read_mapping
from decaystudy.runs.architecture import check_architecture
from decaystudy.runs.weights import read_weights

UNSHAPED = frozenset({"decay_options", "beta_max", "norm_eps", "rope_base"})
"""Settings that no weight's shape depends on."""


def check_agreement(weights: Path, asked: Mapping[str, Any]) -> None:
    """Refuse weights that are broken, or that a config.json which was changed since would make another model of.

    Args:
        weights: model.safetensors, beside config.json.
        asked: what ``from_pretrained`` was given by name. Another architecture may be asked for on purpose.

    Raises:
        UserError: they don't belong together, or the decay is code from elsewhere and not trusted.
    """
    record = read_weights(weights).architecture
    file = weights.with_name("config.json")
    own = read_mapping(file) or {}
    if own.get("model_type") != DecayStudyConfig.model_type:
        return
    architecture = all_fields(own.get("architecture", {}))
    # The auto classes always give a config: that of the file, unless the caller had another one.
    config = asked.get("config")
    given = asked.get("architecture", architecture_of(config))
    if given != architecture and not (given is None and config is None):
        return
    refuse_untrusted(architecture["decay"])
    if asked.get("ignore_mismatched_sizes"):  # which is asked for to have other shapes, and nothing else
        same_decay = record.get("decay") == architecture["decay"]
        compared = UNSHAPED if same_decay else UNSHAPED - {"decay_options"}
        record = {name: value for name, value in record.items() if name in compared}
    check_architecture(record, architecture, weights, file)


def architecture_of(config: Any) -> dict[str, Any] | None:
    """The architecture of a configuration, or of the file or folder that it is read from; None where it has none."""
    if not isinstance(config, (str, os.PathLike)):
        return getattr(config, "architecture", None)
    path = Path(config)
    held = read_mapping(path / "config.json" if path.is_dir() else path) or {}
    return all_fields(held["architecture"]) if isinstance(held.get("architecture"), Mapping) else None

"""Whether the config.json of a local folder is that of the weights beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.hub.config import DecayStudyConfig, all_fields
from decaystudy.hub.trust import refuse_untrusted
from decaystudy.io import read_mapping
from decaystudy.runs.architecture import check_architecture
from decaystudy.runs.weights import read_weights


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
    if own.get("model_type") != DecayStudyConfig.model_type or asked.get("ignore_mismatched_sizes"):
        return
    architecture = all_fields(own.get("architecture", {}))
    # The auto classes always give a config: that of the file, unless the caller had another one.
    config = asked.get("config")
    given = asked.get("architecture", getattr(config, "architecture", None))
    if given != architecture and not (given is None and config is None):
        return
    refuse_untrusted(architecture["decay"])
    check_architecture(record, architecture, weights, file)

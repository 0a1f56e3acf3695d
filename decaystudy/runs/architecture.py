"""Of what model weights are, as their file's metadata tells: written beside them, and compared when they are opened.

Two settings that mean the same are the same here, however they are spelled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.model.config import ModelConfig
from decaystudy.runs.config import canonical, canonical_model, canonical_options, canonical_settings

NAME = "decaystudy_architecture"
"""Name of the model's settings in the metadata, as JSON."""
OLD_NAME = "architecture"
"""Name that they had in files of before."""
FOLLOWING = ("position", "decay_rank")
"""Settings whose defaults follow from others, which are what was changed."""


def recorded(model: ModelConfig) -> dict[str, str]:
    """What the metadata of a model's weights hold."""
    return {NAME: json.dumps(canonical(canonical_model(model)), sort_keys=True, default=str)}


def read_record(metadata: Mapping[str, str], *, own: bool) -> dict[str, Any]:
    """The model's settings in metadata; empty where there are none that can be read.

    Args:
        own: whether this package wrote them: the old name is one that others use too.
    """
    try:
        found = json.loads(metadata.get(NAME) or (metadata.get(OLD_NAME) if own else None) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def check_architecture(record: Mapping[str, Any], given: Mapping[str, Any], weights: Path, file: Path) -> None:
    """Refuse settings of a model under which its weights would be another one.

    Args:
        record: what the file of the weights tells; perhaps nothing, or settings as they were spelled then.
        given: all fields of a ``ModelConfig``.
        weights: that file.
        file: where ``given`` are from.

    Raises:
        UserError: which of them are not those that the weights were trained with.
    """
    known = {name: value for name, value in record.items() if name in given}
    if not known:
        return
    # A decay of another name is refused by its name, and not looked up.
    looked_up = known.get("decay", given["decay"]) == given["decay"]
    wanted, trained = (_flat(values, looked_up) for values in (given, {**given, **known}))
    for name in sorted(trained, key=lambda each: each in FOLLOWING):
        value = trained[name]
        if name.partition(".")[0] in known and name in wanted and _spelled(wanted[name]) != _spelled(value):
            raise UserError(
                f"{file} says {name} {shown(wanted[name])}, and the weights in {weights} were trained with "
                f"{shown(value)}: restore {file} from a copy"
            )


def _flat(values: Mapping[str, Any], looked_up: bool) -> dict[str, Any]:
    """Settings in one spelling, options of the decay by names of their own.

    A record by other code, or a harmed one, may have no other spelling: it is left as it stands.
    """
    found = dict(values)
    with suppress(TypeError, ZeroDivisionError):
        found = canonical_settings(values)
    options = found.pop("decay_options")
    if not looked_up or not isinstance(options, dict):
        return found
    with suppress(Exception):  # of whatever kind a decay of somebody's own raises
        options = canonical_options(values["decay"], options)
    return found | {f"decay_options.{name}": value for name, value in options.items()}


def _spelled(value: Any) -> str:
    """A value as it comes back from the metadata; as text, in which a NaN is itself."""
    return json.dumps(canonical(value), sort_keys=True, default=str)

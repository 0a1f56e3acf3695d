"""Finds a decay by its name, or by the import path of a class in somebody else's package."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from decaystudy.decay.base import Decay, option_names
from decaystudy.decay.constant import Constant, NoDecay
from decaystudy.decay.gla import GLA
from decaystudy.decay.hgrn2 import HGRN2
from decaystudy.decay.lightnet import LightNet
from decaystudy.decay.mamba2 import Mamba2, Mamba2NoA, Mamba2NoANoDelta, Mamba2NoDelta
from decaystudy.decay.simple import Simple
from decaystudy.decay.tnl import TNL, TNLL
from decaystudy.errors import UserError, nearest
from decaystudy.imports import find_object

DECAYS: dict[str, type[Decay]] = {
    decay.name: decay
    for decay in (
        Mamba2,
        Mamba2NoA,
        Mamba2NoDelta,
        Mamba2NoANoDelta,
        GLA,
        HGRN2,
        LightNet,
        TNL,
        TNLL,
        Simple,
        Constant,
        NoDecay,
    )
}


def decay_class(name: str) -> type[Decay]:
    """The class of a decay named as in ``DECAYS``, or by import path (``package.module.Class``).

    Raises:
        UserError: no such decay; the message names the nearest one.
    """
    found = find_object("decay", name, DECAYS)
    if not (isinstance(found, type) and issubclass(found, Decay) and dataclasses.is_dataclass(found)):
        raise UserError(f"{name!r} is not a decay: it must be a dataclass derived from decaystudy.decay.Decay")
    return found


def make_decay(name: str, options: Mapping[str, Any] | None = None) -> Decay:
    """The decay ``name`` with its ``options``; refuses an option that it doesn't take."""
    found = decay_class(name)
    taken = option_names(found)
    for option in options or {}:
        if option not in taken:
            close = nearest(option, taken)
            hint = f"did you mean {close!r}? " if close else ""
            offer = f"it takes {', '.join(taken)}" if taken else "it takes none"
            raise UserError(f"decay {name!r} has no option {option!r}: {hint}{offer}")
    return found(**(options or {}))

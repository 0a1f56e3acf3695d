"""The design space of decay: one file per family, the protocol of all (``base``), and their names (``registry``)."""

from decaystudy.decay.base import Decay
from decaystudy.decay.declarations import (
    GRANULARITIES,
    SHARINGS,
    DecayOutput,
    LayerContext,
    ParameterSpec,
    ProjectionSpec,
)
from decaystudy.decay.registry import DECAYS, decay_class, make_decay

__all__ = [
    "DECAYS",
    "GRANULARITIES",
    "SHARINGS",
    "Decay",
    "DecayOutput",
    "LayerContext",
    "ParameterSpec",
    "ProjectionSpec",
    "decay_class",
    "make_decay",
]

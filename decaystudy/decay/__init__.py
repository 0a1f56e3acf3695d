"""The design space of decay: one file a family, one protocol (``base``), a registry of names (``registry``)."""

from decaystudy.decay.base import GRANULARITIES, SHARINGS, Decay, Decayed, Extra, Site
from decaystudy.decay.registry import DECAYS, decay_class, make_decay

__all__ = ["DECAYS", "GRANULARITIES", "SHARINGS", "Decay", "Decayed", "Extra", "Site", "decay_class", "make_decay"]

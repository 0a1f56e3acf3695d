"""Decay attention: one public function per recurrence, several backends.

Importing this package imports no torch; the first use of a name does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decaystudy.ops.attention import decay_attention, dplr_attention

__all__ = ["decay_attention", "dplr_attention"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from decaystudy.ops import attention

        return getattr(attention, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

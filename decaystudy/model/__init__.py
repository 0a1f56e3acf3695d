"""The decay transformer: its configuration (torch-free), its parts, and its decoding state."""

from typing import TYPE_CHECKING, Any

from decaystudy.model.config import ModelConfig

if TYPE_CHECKING:
    from decaystudy.model.state import DecodingState
    from decaystudy.model.transformer import DecayTransformer

__all__ = ["DecayTransformer", "DecodingState", "ModelConfig"]


def __getattr__(name: str) -> Any:  # torch is imported only when a model is asked for
    if name == "DecayTransformer":
        from decaystudy.model.transformer import DecayTransformer

        return DecayTransformer
    if name == "DecodingState":
        from decaystudy.model.state import DecodingState

        return DecodingState
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

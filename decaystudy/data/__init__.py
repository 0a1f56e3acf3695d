"""Text in, tokens out: sources, tokenizers, the token cache, the training stream and the DataModule.

Nothing here imports torch until ``DataModule`` is asked for.
"""

from typing import Any

from decaystudy.data.sources.base import Document, Part, Source

__all__ = ["DataConfig", "DataModule", "Document", "Part", "Source"]


def __getattr__(name: str) -> Any:
    if name == "DataModule":
        from decaystudy.data.stream.datamodule import DataModule

        return DataModule
    if name == "DataConfig":
        from decaystudy.data.config import DataConfig

        return DataConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

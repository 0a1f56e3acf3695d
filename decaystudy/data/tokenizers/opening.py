"""The tokenizer that a run's settings name: from the cache, else trained or fetched, once per machine."""

from pathlib import Path

from decaystudy.data.config import DataConfig
from decaystudy.data.folders import lock
from decaystudy.data.holding_out import HoldingOut
from decaystudy.data.sources.base import Source
from decaystudy.data.tokenizers.hub import fetch
from decaystudy.data.tokenizers.names import named_folder, trained_kind, trained_vocabulary
from decaystudy.data.tokenizers.tokenizer import Tokenizer, is_kept
from decaystudy.data.tokenizers.training import train, training_texts
from decaystudy.io import cache_folder, digest


def fetch_tokenizer(config: DataConfig) -> None:
    """See that ``vocabulary_size(config)`` is known: fetch the tokenizer if it is neither cached nor to be trained."""
    if trained_vocabulary(config.tokenizer_name) is None:
        _make_once(named_folder(config.tokenizer_name), config)


def open_tokenizer(config: DataConfig, source: Source, held_out: HoldingOut) -> Tokenizer:
    """The tokenizer that ``config`` names: from the cache, else trained on ``source`` or fetched, once per machine."""
    size = trained_vocabulary(config.tokenizer_name)
    if size is None:
        folder = named_folder(config.tokenizer_name)
    else:
        kind = trained_kind(config.tokenizer_name)
        share = config.held_out_share if held_out.hashes is None else held_out.below(config.held_out_share)
        key = digest([source.identity(), share, size, source.tokenizer_bytes])
        folder = cache_folder("tokenizers", f"{kind}-{size}-{source.label}-{key[:12]}")
    _make_once(folder, config, source, held_out)
    return Tokenizer(folder)


def _make_once(
    folder: Path, config: DataConfig, source: Source | None = None, held_out: HoldingOut | None = None
) -> None:
    if is_kept(folder):
        return
    with lock(folder.with_suffix(".lock")):
        if is_kept(folder):
            return
        size = trained_vocabulary(config.tokenizer_name)
        if size is not None and source is not None and held_out is not None:
            texts = training_texts(source, held_out.below(config.held_out_share))
            train(config.tokenizer_name, texts, folder, source.label)
        else:
            fetch(config.tokenizer_name, folder)

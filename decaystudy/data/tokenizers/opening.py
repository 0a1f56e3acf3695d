"""The tokenizer that a run's settings name: from the cache, else trained or fetched, once per machine."""

from pathlib import Path

from decaystudy.data.config import DataConfig
from decaystudy.data.folders import lock
from decaystudy.data.holding_out import HoldingOut
from decaystudy.data.registry import identity_of
from decaystudy.data.sources.base import Source
from decaystudy.data.tokenizers.hub import fetch_once
from decaystudy.data.tokenizers.names import named_folder, trained_kind, trained_vocabulary
from decaystudy.data.tokenizers.tokenizer import Tokenizer, is_kept
from decaystudy.data.tokenizers.training import train, training_texts
from decaystudy.io import cache_folder, digest


def fetch_tokenizer(config: DataConfig) -> None:
    """See that ``vocabulary_size(config)`` is known: fetch the tokenizer if it is neither cached nor to be trained."""
    if trained_vocabulary(config.tokenizer_name) is None:
        fetch_once(config.tokenizer_name)


def open_tokenizer(config: DataConfig, source: Source, held_out: HoldingOut) -> Tokenizer:
    """The tokenizer that ``config`` names: from the cache, else trained on ``source`` or fetched, once per machine."""
    folder = tokenizer_folder(config, source, held_out)
    if trained_vocabulary(config.tokenizer_name) is None:
        fetch_once(config.tokenizer_name)
    elif not is_kept(folder):
        with lock(folder.with_suffix(".lock")):
            if not is_kept(folder):
                texts = training_texts(source, held_out.below(config.held_out_share))
                train(config.tokenizer_name, texts, folder, source.label)
    return Tokenizer(folder)


def tokenizer_folder(config: DataConfig, source: Source, held_out: HoldingOut) -> Path:
    """Where the cache keeps the tokenizer that ``config`` names, once it is there."""
    size = trained_vocabulary(config.tokenizer_name)
    if size is None:
        return named_folder(config.tokenizer_name)
    kind = trained_kind(config.tokenizer_name)
    share = config.held_out_share if held_out.hashes is None else held_out.below(config.held_out_share)
    key = digest([identity_of(source), share, size, source.tokenizer_bytes])
    return cache_folder("tokenizers", f"{kind}-{size}-{source.label}-{key[:12]}")

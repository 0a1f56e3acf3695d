"""What a tokenizer's name says: its kind, its size, and where its copy is kept. Reads nothing else."""

from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.io import cache_folder, digest, slug

SMALLEST_VOCABULARY = {"bpe": 257, "words": 3}
"""Tokenizers that are trained on the source: byte-level BPE, and a closed vocabulary of its most frequent words."""


def trained_kind(tokenizer: str) -> str | None:
    """``bpe`` or ``words``; None for a tokenizer that is not trained on the source."""
    kind, colon, _ = tokenizer.partition(":")
    if not tokenizer.strip():
        raise UserError("--data.tokenizer is empty: use auto, bpe:N, words:N, or a tokenizer's name such as gpt2")
    return kind if colon and kind in SMALLEST_VOCABULARY else None


def trained_vocabulary(tokenizer: str) -> int | None:
    """N of ``bpe:N`` and ``words:N``; None for a tokenizer that is not trained on the source."""
    kind = trained_kind(tokenizer)
    if kind is None:
        return None
    size, least = tokenizer.partition(":")[2], SMALLEST_VOCABULARY[kind]
    if not size.isdecimal() or not least <= int(size) <= 2**20:
        raise UserError(f"--data.tokenizer {tokenizer!r} needs a size from {least} to {2**20}, such as {kind}:2048")
    return int(size)


def named_folder(name: str) -> Path:
    """Where the cached copy of a tokenizer of the hub, or of a local one, lives."""
    local = Path(name).expanduser()
    key = str(local.absolute()) if local.exists() else name
    return cache_folder("tokenizers", f"{slug(local.name)}-{digest(key)[:12]}")

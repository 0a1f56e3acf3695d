"""What a tokenizer's name says: its kind, its size, and where its copy is kept. Reads nothing else."""

import functools
import os
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.io import cache_folder, digest, slug

SMALLEST_VOCABULARY = {"bpe": 257, "words": 3}
"""Tokenizers that are trained on the source: byte-level BPE, and a closed vocabulary of its most frequent words."""
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
"""Files in which a tokenizer names its special tokens."""
TOKENIZER_SUFFIXES = (".json", ".txt", ".model", ".tiktoken")
"""Of the files that a tokenizer may be read from."""


def trained_kind(tokenizer: str) -> str | None:
    """``bpe`` or ``words``; None for a tokenizer that is not trained on the source."""
    kind, colon, _ = tokenizer.partition(":")
    if not tokenizer.strip():
        raise UserError("--data.tokenizer is empty: use auto, bpe:N, words:N, or a tokenizer's name such as gpt2")
    if tokenizer in SMALLEST_VOCABULARY:
        raise UserError(f"--data.tokenizer {tokenizer!r} needs a size, such as {tokenizer}:2048")
    return kind if colon and kind in SMALLEST_VOCABULARY else None


def trained_vocabulary(tokenizer: str) -> int | None:
    """N of ``bpe:N`` and ``words:N``; None for a tokenizer that is not trained on the source."""
    kind = trained_kind(tokenizer)
    if kind is None:
        return None
    size, least = tokenizer.partition(":")[2], SMALLEST_VOCABULARY[kind]
    if not (size.isascii() and size.isdecimal()) or len(size) > 9 or not least <= int(size) <= 2**20:
        raise UserError(f"--data.tokenizer {tokenizer!r} needs a size from {least} to {2**20}, such as {kind}:2048")
    return int(size)


def local_tokenizer(name: str) -> Path | None:
    """The full path of a tokenizer of this machine; None for one of the hub."""
    path = Path(name).expanduser()
    return Path(os.path.abspath(path)) if path.exists() else None


def named_folder(name: str) -> Path:
    """Where the cached copy of a tokenizer of the hub, or of a local one with the content that it has now, lives."""
    local = local_tokenizer(name)
    key: Any = name if local is None else [str(local), content_of(local)]
    return cache_folder("tokenizers", f"{slug((local or Path(name)).name)}-{digest(key)[:12]}")


def content_of(tokenizer: Path) -> str:
    """Hash of what a local tokenizer is made of: the file itself and those beside it that speak of tokenizers."""
    folder = tokenizer if tokenizer.is_dir() else tokenizer.parent
    if tokenizer.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in TOKENIZER_SUFFIXES and path.is_file())
    else:
        files = [tokenizer, *(path for name in SETTINGS if (path := folder / name).is_file() and path != tokenizer)]
    return digest([[path.name, _hash(path, *_stamp(path))] for path in files])


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _hash(path: Path, size: int, modified: int) -> str:
    """The content's hash, computed anew where size or time have changed."""
    return digest(path.read_bytes())

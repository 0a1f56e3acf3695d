"""Tokenizers: one trained on the corpus, or any of the hub's, kept in the cache so that later use needs no network."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decaystudy.data.folders import cache_json, cached_file
from decaystudy.errors import UserError
from decaystudy.io import digest, read_mapping

log = logging.getLogger("decaystudy")

EOS = "<|endoftext|>"
"""The end-of-document token of the tokenizers trained here, id 0."""
FORMAT = 2
"""Raised when what is kept of a tokenizer changes; a copy of another format is made again."""
OTHERS = "choose a byte-level one such as gpt2, one with an unknown token, or one trained on the source, bpe:N"
UNKNOWN = "<|unknown|>"
"""What a closed vocabulary makes of any other word, id 1."""


class Tokenizer:
    """Text to token ids and back.

    A special token spelled out in a text is ordinary text, so that EOS ends documents and nothing else.
    """

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer as Fast

        self.folder = folder
        about = read_about(folder)
        content = (folder / "tokenizer.json").read_bytes() if about else b""
        if about is None or hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise UserError(f"the tokenizer in {folder} was altered: delete that folder and it will be made again")
        self.name: str = about["name"]
        self.revision: str | None = about["revision"]
        self.eos_id: int = about["eos_id"]
        self.vocab_size: int = about["vocab_size"]
        self.digest = digest_of(about)
        self._fast = Fast.from_str(content.decode())
        self._fast.encode_special_tokens = True
        self._fast.no_truncation()
        self._fast.no_padding()

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, (self.folder,)

    @property
    def dtype(self) -> np.dtype:
        """The smallest of uint16 and uint32 that holds every id."""
        return np.dtype("<u2" if self.vocab_size <= 2**16 else "<u4")

    def encode(self, text: str) -> list[int]:
        """Token ids of one text, without any special token."""
        return self._fast.encode(printable(text), add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; special tokens are spelled out."""
        return self._fast.decode([int(i) for i in ids], skip_special_tokens=False)

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids of one text, and where each token ends in it, in characters."""
        encoding = self._fast.encode(text, add_special_tokens=False)
        return encoding.ids, [end for _, end in encoding.offsets]

    def bytes_by_id(self) -> np.ndarray | None:
        """UTF-8 bytes that each token spells, (vocab_size,) float64, where a token spells the same everywhere: in
        byte-level vocabularies, whose every character stands for a byte. None for others."""
        from tokenizers import decoders

        if not isinstance(self._fast.decoder, decoders.ByteLevel):
            return None
        sizes = np.zeros(self.vocab_size)
        for token, number in self._fast.get_vocab(with_added_tokens=False).items():
            sizes[number] = len(token)
        for number, added in self._fast.get_added_tokens_decoder().items():
            sizes[number] = 0 if number == self.eos_id else len(added.content.encode())
        return sizes

    def encode_documents(self, texts: list[str]) -> list[np.ndarray]:
        """Token ids of each text, each ended by EOS; uses all cores that the tokenizers library sees."""
        try:
            encodings = self._fast.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:  # lone surrogates, which json can spell
            encodings = self._fast.encode_batch_fast([printable(text) for text in texts], add_special_tokens=False)
        except Exception as error:  # the library raises nothing more special
            raise UserError(f"the tokenizer {self.name} fails on a text ({error}): {OTHERS}") from error
        return [np.array([*encoding.ids, self.eos_id], dtype=self.dtype) for encoding in encodings]


def printable(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_kept(folder: Path) -> bool:
    """Whether the folder holds a tokenizer of this format."""
    return read_about(folder) is not None


def read_about(folder: Path) -> dict[str, Any] | None:
    """What vouches for the tokenizer in the folder; None where there is none of this format."""
    about = read_mapping(folder / "about.json")
    whole = about is not None and about.get("format") == FORMAT and (folder / "tokenizer.json").exists()
    kinds: dict[str, Any] = {
        "sha256": str,
        "name": str,
        "revision": (str, type(None)),
        "eos_id": int,
        "vocab_size": int,
    }
    fits = whole and about is not None and all(isinstance(about.get(key, ...), kind) for key, kind in kinds.items())
    return about if fits else None


def kept_digest(folder: Path) -> str | None:
    """``Tokenizer(folder).digest`` without loading it; None where the folder holds none of this format."""
    about = read_about(folder)
    return None if about is None else digest_of(about)


def digest_of(about: dict[str, Any]) -> str:
    """What tells a tokenizer from others, from its about.json."""
    return digest([about["sha256"], about["eos_id"], about["vocab_size"]])


def store(folder: Path, content: str, *, name: str, revision: str | None, eos_id: int, vocab_size: int) -> None:
    """Write a tokenizer into the cache; ``about.json`` comes last and vouches for the rest.

    Its post-processor is left out: what that would put around a text (BOS in front, EOS or [SEP] behind) training
    doesn't encode, so neither evaluation, generation nor an exported tokenizer may.
    """
    encoded = json.dumps({**json.loads(content), "post_processor": None}, ensure_ascii=False).encode()
    with cached_file(folder / "tokenizer.json") as file:
        file.write(encoded)
    about = {"format": FORMAT, "name": name, "revision": revision, "eos_id": eos_id, "vocab_size": vocab_size}
    cache_json(folder / "about.json", {**about, "sha256": hashlib.sha256(encoded).hexdigest()})

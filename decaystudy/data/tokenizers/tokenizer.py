"""Tokenizers: one trained on the corpus, or any of the hub's, kept in the cache so that later use needs no network."""

import hashlib
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decaystudy.data.config import DataConfig, trained_kind, trained_vocabulary
from decaystudy.data.documents import held_out
from decaystudy.data.folders import cache_folder, digest, lock, read_json, replacing, slug, write_json
from decaystudy.data.network import persevere
from decaystudy.data.sources import Part, Source
from decaystudy.errors import UserError

log = logging.getLogger("decaystudy")

EOS = "<|endoftext|>"
"""The end-of-document token of the tokenizers trained here, id 0."""
UNKNOWN = "<|unknown|>"
"""What a closed vocabulary makes of any other word, id 1."""

LONG_RUN = re.compile(r"\S{256}")
"""Runs without a space are cut here while training, whose time grows with the square of a word's length."""


class Tokenizer:
    """Text to token ids and back.

    A special token spelled out in a text is ordinary text, so that EOS ends documents and nothing else.
    """

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer as Fast

        self.folder = folder
        about = read_json(folder / "about.json")
        content = (folder / "tokenizer.json").read_bytes()
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise UserError(f"the tokenizer in {folder} was altered: delete that folder and it is made anew")
        self.name: str = about["name"]
        self.revision: str | None = about["revision"]
        self.eos_id: int = about["eos_id"]
        self.vocab_size: int = about["vocab_size"]
        self.digest = digest([about["sha256"], self.eos_id, self.vocab_size])
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

    def encode_documents(self, texts: list[str]) -> list[np.ndarray]:
        """Token ids of each text, each ended by EOS; uses all cores that the tokenizers library sees."""
        try:
            encodings = self._fast.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:  # lone surrogates, which json can spell
            encodings = self._fast.encode_batch_fast([printable(text) for text in texts], add_special_tokens=False)
        return [np.array([*encoding.ids, self.eos_id], dtype=self.dtype) for encoding in encodings]


def printable(text: str) -> str:
    """The text with lone surrogates, which no encoding can hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def named_folder(name: str) -> Path:
    """Where the cached copy of a tokenizer of the hub, or of a local one, lives."""
    local = Path(name).expanduser()
    key = str(local.absolute()) if local.exists() else name
    return cache_folder("tokenizers", f"{slug(local.name)}-{digest(key)[:12]}")


def fetch_tokenizer(config: DataConfig) -> None:
    """See that ``vocabulary_size(config)`` is known: fetch the tokenizer if it is neither cached nor to be trained."""
    if trained_vocabulary(config.tokenizer_name) is None:
        _make_once(named_folder(config.tokenizer_name), config, None)


def open_tokenizer(config: DataConfig, source: Source) -> Tokenizer:
    """The tokenizer that ``config`` names: from the cache, else trained on ``source`` or fetched, once a machine."""
    size = trained_vocabulary(config.tokenizer_name)
    if size is None:
        folder = named_folder(config.tokenizer_name)
    else:
        kind = trained_kind(config.tokenizer_name)
        key = digest([source.identity(), config.held_out_share, size, source.tokenizer_bytes])
        folder = cache_folder("tokenizers", f"{kind}-{size}-{source.label}-{key[:12]}")
    _make_once(folder, config, source)
    return Tokenizer(folder)


def _make_once(folder: Path, config: DataConfig, source: Source | None) -> None:
    if (folder / "about.json").exists():
        return
    with lock(folder.with_suffix(".lock")):
        if (folder / "about.json").exists():
            return
        size = trained_vocabulary(config.tokenizer_name)
        if size is not None and source is not None:
            train(config.tokenizer_name, training_texts(config, source), folder, source.label)
        else:
            from decaystudy.data.tokenizers.hub import fetch

            fetch(config.tokenizer_name, folder)


def store(folder: Path, content: str, *, name: str, revision: str | None, eos_id: int, vocab_size: int) -> None:
    """Write a tokenizer into the cache; ``about.json`` comes last and vouches for the rest."""
    encoded = content.encode()
    with replacing(folder / "tokenizer.json") as file:
        file.write(encoded)
    about = {"name": name, "revision": revision, "eos_id": eos_id, "vocab_size": vocab_size}
    write_json(folder / "about.json", {**about, "sha256": hashlib.sha256(encoded).hexdigest()})


def training_texts(config: DataConfig, source: Source) -> Iterator[str]:
    """Texts of the documents that are not held out, as many as the source gives for this."""
    left = source.tokenizer_bytes
    for part in source.parts():

        def texts(part: Part = part, left: int = left) -> list[str]:
            kept = []
            for document in source.documents(part):
                if left > 0 and not held_out(document.id, config.held_out_share):
                    kept.append(LONG_RUN.sub(r"\g<0> ", printable(document.text)))
                    left -= len(kept[-1].encode())
                elif left <= 0:
                    break
            return kept

        for text in persevere(f"read {part} of {source.label}", texts):
            yield text
            left -= len(text.encode())
        if left <= 0:
            return


def train(name: str, texts: Iterable[str], folder: Path, label: str) -> None:
    """Train the tokenizer ``name``, bpe:N or words:N, special tokens among the N."""
    size = trained_vocabulary(name)
    assert size is not None
    log.info("training a tokenizer of %d tokens on %s, once", size, label)
    fast, trainer = (closed if trained_kind(name) == "words" else byte_level)(size)
    seen = itertools.count()
    fast.train_from_iterator((text for text, _ in zip(texts, seen, strict=False)), trainer)
    if next(seen) == 0:
        raise UserError(f"the source {label} holds no documents to train a tokenizer on: choose another --data.source")
    if fast.get_vocab_size() < size:
        log.warning("%s is too small for %d tokens: its tokenizer uses %d", label, size, fast.get_vocab_size())
    store(folder, fast.to_str(), name=name, revision=None, eos_id=0, vocab_size=size)


def byte_level(size: int) -> tuple[Any, Any]:
    """A byte-level BPE, which can spell every text, and its trainer."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers, trainers

    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    fast.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False)
    return fast, trainer


def closed(size: int) -> tuple[Any, Any]:
    """The most frequent words, as white space parts them, and its trainer; any other word is UNKNOWN."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    fast = Fast(models.WordLevel(unk_token=UNKNOWN))
    # Spelled out in a text, EOS would be found among the words.
    fast.normalizer = normalizers.Replace(EOS, f" {UNKNOWN} ")  # type: ignore[assignment]
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    return fast, trainers.WordLevelTrainer(vocab_size=size, special_tokens=[EOS, UNKNOWN], show_progress=False)

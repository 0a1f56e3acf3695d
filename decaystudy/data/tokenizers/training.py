"""Trains a tokenizer on the corpus: byte-level BPE, or a closed vocabulary of its most frequent words."""

import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from decaystudy.data.distinct import Changes, distinct
from decaystudy.data.documents import id_hash
from decaystudy.data.network import with_retries
from decaystudy.data.sources.base import Part, Source
from decaystudy.data.tokenizers.names import trained_kind, trained_vocabulary
from decaystudy.data.tokenizers.tokenizer import EOS, UNKNOWN, printable, store
from decaystudy.errors import UserError

log = logging.getLogger("decaystudy")

LONG_RUN = re.compile(r"\S{256}")
"""Runs without a space are cut here while training, whose time grows with the square of a word's length."""

UNSPACED = re.compile(r"[A-Za-z0-9+/]{60,}|[\w+/=-]{256}")
"""What is left of such runs, and a line of base64: no word of a language, and hardly ever the same one twice."""
UNSPACED_BYTES = 2 * 2**20
"""Of these, so much is trained on, which takes seconds per megabyte; no text of words holds as much of them."""


def training_texts(source: Source, below: int) -> Iterator[str]:
    """Texts of the documents that are not held out, as many as the source gives for this.

    Args:
        below: documents whose hash lies below this are held out.
    """
    left = source.tokenizer_bytes
    for part in source.parts():

        def texts(part: Part = part, left: int = left) -> list[str]:
            kept = []
            for document in distinct(source, source.documents(part), Changes()):
                if left > 0 and id_hash(document.held_with) >= below:
                    kept.append(LONG_RUN.sub(r"\g<0> ", printable(document.text)))
                    left -= len(kept[-1].encode())
                elif left <= 0:
                    break
            return kept

        for text in with_retries(f"read {part} of {source.label}", texts):
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
    if trained_kind(name) == "bpe":
        texts = capped(texts)
    seen = itertools.count()
    fast.train_from_iterator((text for text, _ in zip(texts, seen, strict=False)), trainer)
    if next(seen) == 0:
        raise UserError(f"the source {label} holds no documents to train a tokenizer on: choose another --data.source")
    if fast.get_vocab_size() < size:
        log.warning("%s is too small for %d tokens: its tokenizer uses %d", label, size, fast.get_vocab_size())
    store(folder, fast.to_str(), name=name, revision=None, eos_id=0, vocab_size=size)


def capped(texts: Iterable[str]) -> Iterator[str]:
    """The texts, with no more than ``UNSPACED_BYTES`` of what stands in them without a space."""
    room, left_out = UNSPACED_BYTES, 0

    def keep(run: re.Match[str]) -> str:
        nonlocal room, left_out
        size = len(run[0].encode())
        if size > room:
            left_out += size
            return ""
        room -= size
        return run[0]

    for text in texts:
        yield UNSPACED.sub(keep, text)
    if left_out:
        log.info("%d MB of text without spaces are left out of the tokenizer's training", -(-left_out // 10**6))


def byte_level(size: int) -> tuple[Any, Any]:
    """A byte-level BPE, which can spell every text, and its trainer."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers, trainers

    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False)
    return fast, trainer


def closed(size: int) -> tuple[Any, Any]:
    """The most frequent words, as white space parts them, and its trainer; any other word is UNKNOWN."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    fast = Fast(models.WordLevel(unk_token=UNKNOWN))
    # Spelled out in a text, EOS would be found among the words.
    fast.normalizer = normalizers.Replace(EOS, f" {UNKNOWN} ")
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return fast, trainers.WordLevelTrainer(vocab_size=size, special_tokens=[EOS, UNKNOWN], show_progress=False)

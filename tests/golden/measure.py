"""Measures what the package's versions stand for: small models, a token stream, and a run of a few steps.

Everything is computed in float64, so that machines agree to about eight digits.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from decaystudy.data import DataConfig, DataModule
from decaystudy.data.sources.recall import Recall
from decaystudy.decay import DECAYS
from decaystudy.errors import UserError
from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.model.losses import next_token_losses
from decaystudy.runs.config import RunConfig
from decaystudy.training.fit import fit

SIZES: dict[str, Any] = {"layers": 2, "d_model": 16, "heads": 2, "glu_width": 24, "vocab_size": 40}
VARIATIONS: dict[str, tuple[Any, ...]] = {
    "granularity": ("vector", "scalar", "paired"),
    "sharing": (True, "tied", "released"),
    "position": ("rope", "tpe", "lrpe"),
    "dplr": (True,),
}
MORE: dict[str, dict[str, Any]] = {
    "softmax": {"mixer": "softmax"},
    "gla inside": {"decay": "gla", "decay_options": {"temperature": "inside"}},
    "gla start": {"decay": "gla", "decay_options": {"start": 0.9}},
    "mamba2 start": {"decay": "mamba2", "decay_options": {"start": 0.9}},
    "tnl-l released": {"decay": "tnl-l", "granularity": "scalar", "decay_options": {"released": True}},
    "simple p": {"decay": "simple", "decay_options": {"p": 0.8}},
    "full rank": {"decay": "hgrn2", "decay_rank": "full"},
    "norm by head": {"decay": "hgrn2", "output_norm": "head"},
    "negative eigenvalues": {"decay": "simple", "dplr": True, "beta_max": 2},
}
WORDS = [f"w{i}" for i in range(38)]


def cases() -> Iterator[tuple[str, ModelConfig]]:
    """Every decay as it is and with one thing changed, and options."""
    for decay in DECAYS:
        first = "vector" if "vector" in DECAYS[decay].granularities else "scalar"
        changes = [{"granularity": first}]
        changes += [{"granularity": first, name: value} for name, values in VARIATIONS.items() for value in values]
        changes += [{"granularity": "scalar", "position": "rope"}]
        for change in changes:
            label = " ".join([decay, *map(str, change.values())])
            try:
                yield label, ModelConfig(decay=decay, **change, **SIZES)
            except UserError:
                continue
    for label, settings in MORE.items():
        yield label, ModelConfig(**settings, **SIZES)


def model() -> dict[str, list[float]]:
    """By case: mean size of the logits, a weighted sum of them, and the norm of the loss's gradient."""
    with one_thread():
        return {label: numbers for case in cases() for label, numbers in numbers_of(*case)}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order everywhere; and threads would take far longer over numbers so few."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def numbers_of(label: str, config: ModelConfig) -> Iterator[tuple[str, list[float]]]:
    """Of one model, and of a decay as it is also where documents reset the state."""
    rows, places = torch.meshgrid(torch.arange(2), torch.arange(25), indexing="ij")
    tokens = (rows * 17 + places * places * 3 + places * 7) % 40
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    resets = torch.zeros(2, 24, dtype=torch.bool)
    resets[0, 9] = resets[1, 17] = True
    for named, breaks in ((label, None), *([(f"{label}, resets", resets)] if label.count(" ") == 1 else [])):
        made = DecayTransformer(config, seed=3).double()
        logits = made(inputs, resets=breaks)
        next_token_losses(logits, targets, config.vocab_size, dtype=torch.float64).mean().backward()
        gradient = sum(float((p.grad**2).sum()) for p in made.parameters() if p.grad is not None)
        real = logits[..., : config.vocab_size].detach()
        weights = torch.cos(torch.arange(real.numel(), dtype=torch.float64)).reshape(real.shape)
        yield named, [float(real.abs().mean()), float((real * weights).sum()), gradient**0.5]


@dataclass(frozen=True)
class Corpus:
    """Five files of text and a tokenizer of its words, in a folder."""

    folder: Path

    def write(self) -> None:
        for number in range(5):
            rows = []
            for i in range(60):
                words = [WORDS[(number + i * 5 + j * (i % 7 + 1)) % 38] for j in range(3 + (i * 11 + number) % 40)]
                rows.append({"id": f"{number}/{i}", "text": " ".join(words)})
            (self.folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        vocabulary = {word: i for i, word in enumerate(["</s>", "<unk>", *WORDS])}
        content = {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": {"type": "Replace", "pattern": {"String": "</s>"}, "content": " <unk> "},
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
        }
        (self.folder / "tokenizer.json").write_text(json.dumps(content))

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "source": "files",
            "files": str(self.folder / "*.jsonl"),
            "tokenizer": str(self.folder / "tokenizer.json"),
            "sequence_length": 24,
            "validation_fraction": 0.1,
            "validation_tokens": 600,
        }


def data(folder: Path) -> dict[str, Any]:
    """Hashes of the training stream over two epochs, by seed, and of the held-out blocks and documents: for files that
    make one shard together, and for files that are cut into several."""
    corpus = Corpus(folder)
    corpus.write()
    together = stream_of(corpus)
    other_cache = mock.patch.dict(os.environ, {"DECAYSTUDY_CACHE": str(folder / "other cache")})
    with other_cache, mock.patch("decaystudy.data.sources.files.PART_BYTES", 4000):
        cut = stream_of(corpus)
    return {"together": together, "cut": cut, "recall": Recall(64).revision}


def stream_of(corpus: Corpus) -> dict[str, Any]:
    """What is trained on and held out."""
    found: dict[str, Any] = {}
    for seed in (0, 1):
        config = DataConfig(**corpus.settings)
        stream = DataModule(config, seed=seed, global_batch_size=4, micro_batch_size=2)
        stream.prepare_data()
        stream.setup()
        count = stream.stream.epoch_tokens()
        found["tokens per epoch"], found["shards"] = count, len(stream.corpus)
        found[f"stream of seed {seed}"] = _hash(stream.stream.tokens(0, 2 * count))
    found["held-out blocks"] = _hash(stream.validation.blocks)
    found["held-out documents"] = _hash(stream.held_out.tokens)
    found["bytes"] = float(stream.held_out.bytes.sum())
    return found


def recipe(folder: Path) -> dict[str, Any]:
    """Losses of a run of eight steps in which warm-up, decay, weight decay and clipping all matter."""
    corpus = Corpus(folder)
    corpus.write()
    config = RunConfig.build(
        "tiny",
        model={"decay": "mamba2", "layers": 2, "d_model": 16, "heads": 2, "glu_width": 24},
        data=corpus.settings,
        recipe={
            "learning_rate": 0.02,
            "weight_decay": 0.5,
            "warmup_steps": 2,
            "decay_fraction": 0.5,
            "final_fraction": 0.1,
            "global_batch_size": 4,
            "micro_batch_size": 2,
            "betas": (0.9, 0.95),
        },
        trainer={"max_steps": 8, "precision": "64-true", "gradient_clip_val": 0.3, "accelerator": "cpu",
                 "log_every_n_steps": 1, "enable_progress_bar": False},
    )  # fmt: skip
    with one_thread():
        result = fit(config, folder / "run")
    with np.load(folder / "run" / "validation_documents.npz") as arrays:
        documents = arrays["nll"][:4].tolist()
    return {"train_loss": result.train_loss, "val_loss": result.val_loss, "documents": documents}


def _hash(values: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(values, dtype="<i8").tobytes(), digest_size=8).hexdigest()

"""Opening what is to be evaluated: a run's folder, or a model in Hugging Face form."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from decaystudy.data.cache.corpus import Corpus
from decaystudy.errors import UserError
from decaystudy.formatting import shortened
from decaystudy.model import DecayTransformer
from decaystudy.runs.architecture import check_architecture
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.origin import Origin, read_origin, why_changed
from decaystudy.runs.records import stored_config
from decaystudy.runs.state import RunState
from decaystudy.runs.weights import read_weights

if TYPE_CHECKING:
    from decaystudy.data.tokenizers.tokenizer import Tokenizer


@dataclass
class LoadedRun:
    """A finished run, its weights in memory."""

    folder: RunFolder
    config: RunConfig
    model: DecayTransformer
    _corpus: Corpus | None = None

    @property
    def device(self) -> torch.device:
        return self.model.embedding.weight.device

    @property
    def corpus(self) -> Corpus:
        """The run's text as tokens, opened when first asked for.

        Raises:
            UserError: the source or the tokenizer is another than the run was trained on.
        """
        if self._corpus is None:
            corpus = Corpus.open(self.config.data)
            result = self.folder.read_result()
            trained = result.data if result else {}
            here = {"revision": corpus.source.revision, "tokenizer_digest": corpus.tokenizer.digest}
            for name, value in here.items():
                if trained.get(name, value) != value:
                    what = "text" if name == "revision" else "tokenizer"
                    raise UserError(
                        f"the {what} that {corpus.source.label} gives here is not the one that {self.folder.path} was "
                        f"trained on ({value[:12]}, not {trained[name][:12]}): evaluate it where it was trained"
                    )
            self._corpus = corpus
        return self._corpus

    @property
    def tokenizer(self) -> Tokenizer:
        return self.corpus.tokenizer

    @property
    def eos_id(self) -> int | None:
        """The token after which the state is cleared; None where the run doesn't do so."""
        return self.tokenizer.eos_id if self.config.data.reset_state_at_documents else None


def finished_run(path: str | Path) -> tuple[RunFolder, RunConfig]:
    """The folder and settings of a run that has been trained.

    Raises:
        UserError: there is none, or other code has trained it.
    """
    folder = RunFolder(path)
    config = stored_config(folder)
    if config is None:
        raise UserError(f"{path} is no run's folder (it has no config.yaml): give the folder that fit wrote")
    if not folder.weights.exists():
        state = folder.state()
        if state == RunState.FINISHED:
            raise UserError(
                f"{folder.weights} is gone: restore it from a copy, or remove {folder.path} and train the run again"
            )
        again = f"finish it with decaystudy fit --config {shlex.quote(str(folder.config))} --out"
        advice = "wait for it" if state == RunState.RUNNING else f"{again} {shlex.quote(str(folder.path))}"
        raise UserError(f"{path} has no trained weights yet (it is {state}): {advice}")
    why = why_changed(read_origin(folder), Origin.here(config, {}), config)
    if why is not None:
        raise UserError(f"{path} cannot be used as it is ({why}): train it again")
    return folder, config


def load_run(path: str | Path, device: str | torch.device | None = None) -> LoadedRun:
    """The run in that folder with its trained weights, in float32, on the GPU if there is one.

    Raises:
        UserError: there is no finished run, or its weights are not those of its configuration.
    """
    folder, config = finished_run(path)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.threads is not None and torch.device(device).type == "cpu":
        torch.set_num_threads(config.threads)
    return LoadedRun(folder, config, load_weights(config, folder, torch.device(device)))


def load_weights(config: RunConfig, folder: RunFolder, device: torch.device) -> DecayTransformer:
    """The run's model with the weights of model.safetensors."""
    with torch.device("meta"):
        model = DecayTransformer(config.model, seed=config.seed)
    result = folder.read_result()
    weights = read_weights(folder.weights, None if result is None else result.weights)
    check_architecture(weights.architecture, asdict(config.model), folder.weights, folder.config)
    try:
        model.load_state_dict(weights.tensors, strict=True, assign=True)
    except RuntimeError as error:
        line = shortened(str(error), 200)
        raise UserError(f"{folder.weights} does not hold the weights of this run ({line}): train it again") from error
    return model.to(device).requires_grad_(False).eval()

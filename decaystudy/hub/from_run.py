"""A run's model and tokenizer in Hugging Face form, and models that are in that form already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from decaystudy.errors import UserError
from decaystudy.hub.missing import FETCHED, refuse_missing
from decaystudy.hub.modeling import DecayStudyForCausalLM
from decaystudy.runs.loading import LoadedRun

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


HARNESS_LENGTH = 2048
"""lm-eval's own limit of models that have none: questions are cut to it, and documents are read in pieces of it."""


def hub_facts(run: LoadedRun) -> dict[str, Any]:
    """What a run's ``DecayStudyConfig`` holds beside the architecture."""
    eos = run.tokenizer.eos_id
    return {
        "training_length": run.config.data.sequence_length,
        "reset_after_eos": run.config.data.reset_state_at_documents,
        "bos_token_id": eos,
        "eos_token_id": eos,
        "pad_token_id": eos,
        "dtype": "float32",
    }


def hub_tokenizer(run: LoadedRun) -> PreTrainedTokenizerFast:
    """The run's tokenizer in Hugging Face form; EOS also begins and pads, and padding stands on the left."""
    from transformers import PreTrainedTokenizerFast

    fast = run.tokenizer._fast
    eos, unknown = fast.id_to_token(run.tokenizer.eos_id), getattr(fast.model, "unk_token", None)
    return PreTrainedTokenizerFast(
        tokenizer_file=str(run.tokenizer.folder / "tokenizer.json"),
        bos_token=eos,
        eos_token=eos,
        pad_token=eos,
        unk_token=unknown if unknown and fast.token_to_id(unknown) is not None else eos,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=max(HARNESS_LENGTH, run.config.data.sequence_length),
    )


def hub_model(run: LoadedRun) -> PreTrainedModel:
    """The run's model in Hugging Face form, sharing its weights."""
    return DecayStudyForCausalLM.around(run.model, **hub_facts(run))


def is_hub_folder(path: str | Path) -> bool:
    """Whether the folder holds a model in Hugging Face form rather than a run."""
    folder = Path(path).expanduser()
    return (folder / "config.json").is_file() and not (folder / "config.yaml").exists()


def load_hub_folder(path: str | Path, *, trusted: bool = False) -> tuple[PreTrainedModel, Any]:
    """A model in Hugging Face form, of this package or any other causal language model, and its tokenizer.

    Args:
        trusted: whether code that comes with the model, or that it names, may be run.

    Raises:
        UserError: transformers cannot open it, or it needs code that is not trusted.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import decaystudy.hub  # noqa: F401 - makes its models known

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trusted}
    open_model: Any = AutoModelForCausalLM.from_pretrained
    what = "model"
    try:
        folder = Path(path).expanduser()
        model, facts = open_model(folder, dtype="auto", output_loading_info=True, **options)
        refuse_missing(facts, dict(model.named_parameters()), FETCHED)
        what = "tokenizer"
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except UserError as error:
        raise UserError(f"cannot open the {what} in {path}: {error}") from error
    except Exception as error:  # of a dozen kinds, as files are missing, cut or of other types
        lines = str(error).strip().splitlines()
        why = lines[0] if lines else type(error).__name__
        raise UserError(f"cannot open the {what} in {path}: {why}; export or fetch it again") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    opened: PreTrainedModel = model.requires_grad_(False).eval().to(device)
    return opened, tokenizer

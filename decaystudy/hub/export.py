"""Writes a run in Hugging Face form: config, safetensors, tokenizer, generation config and a model card."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import yaml
from transformers import GenerationConfig

from decaystudy import __version__
from decaystudy.errors import UserError
from decaystudy.hub.config import DecayStudyConfig
from decaystudy.hub.from_run import hub_facts, hub_tokenizer
from decaystudy.hub.modeling import DecayStudyForCausalLM
from decaystudy.io import read_mapping, write_json, write_text
from decaystudy.runs.evaluation import Evaluation, EvaluationFolder, read_evaluation, task_metrics, with_error
from decaystudy.runs.loading import LoadedRun, load_run
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState
from decaystudy.runs.weights import write_weights
from decaystudy.table import Column, Kind, Table

CODE_FILE = "modeling_decaystudy"
CODE = '''"""Loads this model by way of the package decaystudy, which must be installed."""

from decaystudy.hub import DecayStudyConfig, DecayStudyForCausalLM# noqa: F401
'''
WEIGHTS = "model.safetensors"
# One file is what every reader of safetensors takes; the largest scale of this package fills 6 GB of it.


def export(run_folder: str | Path, target: str | Path) -> Path:
    """Write the run in ``run_folder`` to the folder ``target`` in Hugging Face form, and return that folder.

    ``AutoModelForCausalLM.from_pretrained(target)`` opens it after ``import decaystudy.hub``, or with
    ``trust_remote_code=True`` where the package is installed.

    Raises:
        UserError: there is no finished run, or ``target`` holds something else already.
    """
    run = load_run(run_folder, device="cpu")
    folder = Path(target).expanduser()
    claim(folder)
    model = DecayStudyForCausalLM.around(run.model, **hub_facts(run))
    tokenizer = hub_tokenizer(run)
    clear(folder)
    # The code first, by which an export that was cut short is known, and the settings last, which make it whole.
    write_text(folder / f"{CODE_FILE}.py", CODE)
    weights = {f"model.{name}": value for name, value in run.model.state_dict().items()}
    write_weights(folder / WEIGHTS, weights, run.config.model)
    tokenizer.save_pretrained(folder)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GenerationConfig(**ids, pad_token_id=tokenizer.pad_token_id).save_pretrained(folder)
    write_text(folder / "README.md", model_card(run))
    config = {
        **model.config.to_diff_dict(),
        "architectures": [DecayStudyForCausalLM.__name__],
        "auto_map": {
            "AutoConfig": f"{CODE_FILE}.DecayStudyConfig",
            "AutoModelForCausalLM": f"{CODE_FILE}.DecayStudyForCausalLM",
        },
        "decaystudy_version": __version__,
        "dtype": "float32",
    }
    write_json(folder / "config.json", config)
    return folder


def claim(folder: Path) -> None:
    """Make the folder, or see that it is empty or an export.

    Raises:
        UserError: it is something else, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = [path.name for path in folder.iterdir()]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write to {folder}: {reason}; choose another folder") from error
    if "config.yaml" in held:
        raise UserError(f"{folder} is a run's folder: choose another one for the export")
    if held and not is_export(folder):
        raise UserError(f"{folder} holds other files ({sorted(held)[0]}): choose an empty folder for the export")
    links = [name for name in held if (folder / name).is_symlink()]
    if links:
        raise UserError(f"{folder / min(links)} is a link: choose an empty folder for the export")


def clear(folder: Path) -> None:
    """Remove what would vouch for the weights of an earlier export."""
    (folder / "config.json").unlink(missing_ok=True)
    place = EvaluationFolder(folder)
    place.file.unlink(missing_ok=True)
    for outcomes in place.outcomes.glob("*.npz"):
        outcomes.unlink()
    with contextlib.suppress(OSError):
        place.outcomes.rmdir()  # which stays if anything else is in it


def is_export(folder: Path) -> bool:
    """Whether this package wrote the folder, all of it or as far as it came."""
    code, settings = folder / f"{CODE_FILE}.py", folder / "config.json"
    try:
        if not code.read_text(encoding="utf-8").startswith(CODE.splitlines()[0]):
            return False
    except (OSError, UnicodeDecodeError):
        return False
    return not settings.exists() or (read_mapping(settings) or {}).get("model_type") == DecayStudyConfig.model_type


def model_card(run: LoadedRun) -> str:
    """README.md: what the model is, how to open it, and what the run gave."""
    result = run.folder.read_result() or RunResult(RunState.FINISHED)
    config = run.config
    header = yaml.safe_dump(
        {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["decaystudy", "linear-attention"]},
        sort_keys=False,
    )
    kind = "softmax attention" if config.model.mixer == "softmax" else f"decay attention, decay {config.model.decay}"
    own = "." in config.model.decay
    trust = ", trust_remote_code=True" if own else ""
    lines = [
        f"---\n{header}---",
        f"# {kind}, scale {config.scale}, seed {config.seed}",
        f"A language model with {kind} ({result.parameters or 0:,} parameters), trained by decaystudy "
        f"{__version__} on {result.tokens or 0:,} tokens of {config.data.source}, in sequences of "
        f"{config.data.sequence_length}. Run {result.identity or config.identity_hash()}.",
        "```python\nimport decaystudy.hub  # pip install decaystudy\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("FOLDER"{trust})\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n```',
        *([f"Its decay is {config.model.decay}: that module must be importable where it is opened."] if own else []),
        "## Results",
        numbers_table(result, read_evaluation(run.folder.path)).markdown(),
    ]
    if result.decay:
        lines.append(decays_table(result.decay).markdown())
    lines += ["## Settings", f"```yaml\n{yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)}```"]
    return "\n\n".join(lines) + "\n"


def numbers_table(result: RunResult, evaluation: Evaluation | None) -> Table:
    """The run's own numbers, and those of the tasks that it was evaluated on."""
    numbers: list[tuple[str, float | None]] = [
        ("validation loss, nats per token", result.val_loss),
        ("perplexity", result.val_perplexity),
        ("bits per byte", result.val_bits_per_byte),
        ("entropy of single tokens", result.unigram_entropy),
        ("steps", result.step),
    ]
    known = [(label, value) for label, value in numbers if value is not None]
    rows = [(label, f"{value:.4f}" if isinstance(value, float) else str(value)) for label, value in known]
    if evaluation is not None:
        for task, answers in evaluation.tasks.items():
            limit = f", first {answers.samples} questions" if answers.limit else ""
            for metric in task_metrics(task, [evaluation]):
                value = with_error(answers.metrics[metric], answers.error(metric))
                rows.append((f"{task} {metric}{limit}", value))
    return Table((Column("measured", Kind.WORDS), Column("value")), tuple(rows))


def decays_table(layers: Sequence[LayerDecay]) -> Table:
    """Median and quartiles of λ by layer."""
    columns = (Column("layer"), Column("lower quartile"), Column("median"), Column("upper quartile"))
    rows = [(str(at.layer), f"{at.q25:.3f}", f"{at.median:.3f}", f"{at.q75:.3f}") for at in layers]
    return Table(columns, tuple(rows), title="λ by layer, on held-out text")

"""What training encoded is what evaluation, generation and an export feed, whatever a tokenizer puts around a text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from decaystudy.cli import main
from decaystudy.data.config import DataConfig
from decaystudy.data.tokenizers.opening import fetch_tokenizer
from decaystudy.errors import UserError
from decaystudy.evaluation.tasks.files import task_folder
from tests.evaluation.conftest import fit

WRAPPERS = {"none": None, "bos": "<s> $A", "eos": "$A </s>"}
LINES = [f"the {a} of a {b} is not the {c}" for a in ("list", "module", "file") for b in ("string", "value")
         for c in ("class", "number", "set")] * 60  # fmt: skip


def write(folder: Path, wrapper: str | None) -> Path:
    """A byte-level tokenizer, and what its post-processor puts around a text."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(LINES, trainer)
    if wrapper is not None:
        fast.post_processor = processors.TemplateProcessing(
            single=wrapper, special_tokens=[("<s>", fast.token_to_id("<s>")), ("</s>", fast.token_to_id("</s>"))]
        )
    folder.mkdir(parents=True)
    fast.save(str(folder / "tokenizer.json"))
    # Only special_tokens_map.json names the token that ends a text.
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run under each tokenizer."""
    root = tmp_path_factory.mktemp("same-tokens")
    (root / "text.jsonl").write_text(
        "".join(json.dumps({"text": f"{i}: {line}"}) + "\n" for i, line in enumerate(LINES))
    )
    data = ["--data.source", "files", "--data.files", str(root / "text.jsonl"), "--data.validation_fraction", "0.2"]
    data += ["--data.validation_tokens", "2000", "--data.sequence_length", "512", "--trainer.max_steps", "6"]
    data += ["--recipe.global_batch_size", "2"]
    return {
        name: fit(root / name, *data, "--data.tokenizer", str(write(root / f"tokenizer-{name}", wrapper)))
        for name, wrapper in WRAPPERS.items()
    }


def same(values: list) -> bool:
    return all(value == values[0] for value in values)


def test_losses_and_generated_text_are_the_same(runs, capsys):
    losses = []
    for run in runs.values():
        with np.load(run / "validation_documents.npz") as held:
            losses.append([held[name].tolist() for name in ("nll", "tokens", "bytes")])
    assert same(losses) and sum(losses[0][1]) > 0
    said = []
    for run in runs.values():
        capsys.readouterr()
        assert main(["generate", str(run), "--prompt", "the list of", "--temperature", "0", "--tokens", "12"]) == 0
        said.append(capsys.readouterr().out)
    assert same(said) and said[0].startswith("the list of")


@pytest.mark.slow
@pytest.mark.long
def test_accuracies_and_perplexities_are_the_same_here_and_under_lm_eval(runs, tmp_path):
    found, exported = [], []
    for name, run in runs.items():
        words = ["evaluate", str(run), "--tasks", "offline", "--limit", "8", "--batch-size", "1", "--lengths", "false"]
        assert main(words) == 0
        tasks = json.loads((run / "evaluation.json").read_text())["tasks"]
        found.append({task: {k: v for k, v in row.items() if isinstance(v, float)} for task, row in tasks.items()})
        assert main(["export", str(run), str(tmp_path / name)]) == 0
        where = ["--model", "hf", "--device", "cpu", "--batch_size", "1", "--limit", "8", "--tasks", "offline"]
        where += ["--model_args", f"pretrained={tmp_path / name},trust_remote_code=True,dtype=float32"]
        where += ["--include_path", str(task_folder("offline")), "--output_path", str(tmp_path / f"out-{name}")]
        done = subprocess.run(
            [sys.executable, "-m", "lm_eval", *where], capture_output=True, text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        results = json.loads(next((tmp_path / f"out-{name}").rglob("results_*.json")).read_text())["results"]
        exported.append({task: {k.removesuffix(",none"): v for k, v in results[task].items()
                                if isinstance(v, float) and "," in k} for task in tasks})  # fmt: skip
    assert same(found) and same(exported)
    for task, row in exported[0].items():
        row.pop("perplexity_stderr", None)  # a bootstrap, of fewer resamples for the package's own tasks
        assert row and {key: found[0][task][key] for key in row} == row


@pytest.mark.parametrize("kind", ["unigram", "word level"])
def test_a_vocabulary_that_takes_eos_spelled_out_for_the_end_is_refused_by_name(tmp_path, kind):
    folder = tmp_path / "closed"
    folder.mkdir()
    if kind == "unigram":
        pieces = [("<unk>", 0.0), ("</s>", -1.0), *((chr(c), -3.0) for c in range(32, 127))]
        fast = Tokenizer(models.Unigram(pieces, unk_id=0))
    else:
        fast = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
        fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    with pytest.raises(UserError, match=r"closed reads '</s>' spelled out in a text as the end of the document"):
        fetch_tokenizer(DataConfig(tokenizer=str(folder)))


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, 7, 1.5, True, None], ids=str)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_field_that_is_not_text_is_refused_with_its_place(tmp_path, capsys, kind, value):
    rows = [{"text": "good"}, {"text": "fine"}, {"text": value}]
    file = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if value is None:
            table = pa.table({"text": ["good", "fine", None]})
        else:
            table = pa.table({"text": [value] * 3})
        pq.write_table(table, file)
    source = ["--data.source", "files", "--data.files", str(file), "--data.tokenizer", "bpe:300"]
    assert main(["data-stats", *source, "--tokens", "10"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    place = f"{file}:3: " if kind == "jsonl" else f"{file}, row {3 if value is None else 1} of row group 0: "
    assert any(place in line and "the field 'text' holds" in line and "not text" in line for line in said), said

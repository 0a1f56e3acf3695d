"""Exports: what they hold, who can open them, and that their numbers are the run's."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import decaystudy.hub  # noqa: F401
from decaystudy.cli import main
from decaystudy.evaluation.evaluate import evaluate
from decaystudy.evaluation.perplexity import held_out_blocks
from decaystudy.evaluation.tasks.files import task_folder
from decaystudy.runs.loading import load_run
from tests.evaluation.conftest import copied, datasets_cache, fit, run  # noqa: F401


@pytest.fixture(scope="module")
def exported(tmp_path_factory, run):  # noqa: F811
    folder = tmp_path_factory.mktemp("export") / "model"
    assert main(["export", str(run), str(folder)]) == 0
    return folder


def test_what_an_export_holds(exported):
    names = {path.name for path in exported.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "README.md"} <= names
    config = json.loads((exported / "config.json").read_text())
    assert config["model_type"] == "decaystudy" and config["training_length"] == 128
    assert config["architecture"]["decay"] == "mamba2" and config["dtype"] == "float32"
    card = (exported / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers") and "validation loss" in card and "d_model: 32" in card


def test_perplexity_after_reload_is_the_runs(exported, run):  # noqa: F811
    result = json.loads((run / "result.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(exported)
    blocks = torch.from_numpy(held_out_blocks(load_run(run)).astype(np.int64))
    with torch.no_grad():
        loss = sum(float(model(block[None], labels=block[None]).loss) for block in blocks) / len(blocks)
    assert math.exp(loss) == pytest.approx(result["val_perplexity"], rel=1e-5)


def test_the_tokenizer_is_the_runs(exported, run):  # noqa: F811
    own = load_run(run).tokenizer
    tokenizer = AutoTokenizer.from_pretrained(exported)
    for text in ("Return the value.", " two  spaces, naïve 東京\n\ttab", ""):
        assert tokenizer.encode(text) == own.encode(text)
        assert tokenizer.decode(own.encode(text)) == text
    batch = tokenizer(["one", "one two three"], padding=True)
    assert batch["attention_mask"][0][0] == 0 and tokenizer.eos_token_id == own.eos_id


def test_opens_by_remote_code_without_importing_the_package(exported):
    code = (
        "import sys, torch; from transformers import AutoModelForCausalLM; "
        f"model = AutoModelForCausalLM.from_pretrained({str(exported)!r}, trust_remote_code=True); "
        "print(type(model).__name__, model.generate(torch.tensor([[5, 6]]), max_new_tokens=3, do_sample=False).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0].startswith("DecayStudyForCausalLM torch.Size([1,")


@pytest.mark.slow
def test_lm_evals_command_line_gives_the_same_numbers(exported, copied, tmp_path):  # noqa: F811
    ours = evaluate(copied, "offline", limit=60, batch_size=8)
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--include_path", str(task_folder("offline"))]
    command += ["--model_args", f"pretrained={exported},trust_remote_code=True", "--tasks", "offline", "--limit", "60"]
    command += ["--batch_size", "8", "--device", "cpu", "--output_path", str(tmp_path / "cli")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = (tmp_path / "cli").rglob("results*.json")
    found = json.loads(file.read_text())["results"]
    for task, result in ours.tasks.items():
        for metric in ("acc", "acc_norm", "acc_stderr", "perplexity"):
            if metric in result.metrics:
                assert found[task][f"{metric},none"] == result.metrics[metric], (task, metric)


def test_folders_that_hold_something_else(run, copied, tmp_path, capsys):  # noqa: F811
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert main(["export", str(run), str(tmp_path / "full")]) == 2
    assert "choose an empty folder" in capsys.readouterr().err
    assert main(["export", str(run), str(copied)]) == 2
    assert "is a run's folder" in capsys.readouterr().err
    assert main(["export", str(run)]) == 2
    assert "name a run folder and the folder to write" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(tmp_path / "new")]) == 2
    assert "no run's folder" in capsys.readouterr().err


FOREIGN = {
    "weights alone": {"model.safetensors": b"theirs"},
    "another model": {"model.safetensors": b"theirs", "config.json": b'{"model_type": "llama"}'},
    "another model's code": {"modeling_decaystudy.py": b"import llama", "model.safetensors": b"theirs"},
    "our code and another model": {"modeling_decaystudy.py": None, "config.json": b'{"model_type": "llama"}'},
    "a broken config": {"modeling_decaystudy.py": None, "config.json": b'{"model_type": "dec'},
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_model_stays_as_it_is(run, exported, tmp_path, capsys, what):  # noqa: F811
    ours = (exported / "modeling_decaystudy.py").read_bytes()
    theirs = {"README.md": b"their card", "evaluation/piqa.npz": b"answers", "evaluation.json": b"{}", **FOREIGN[what]}
    (tmp_path / "evaluation").mkdir()
    for name, content in theirs.items():
        (tmp_path / name).write_bytes(ours if content is None else content)
    assert main(["export", str(run), str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert f"{tmp_path} holds other files" in said and "\n" not in said
    for name, content in theirs.items():
        assert (tmp_path / name).read_bytes() == (ours if content is None else content)


def test_an_export_of_links_is_not_written_through(run, exported, tmp_path, capsys):  # noqa: F811
    for path in exported.iterdir():
        (tmp_path / path.name).symlink_to(path)
    before = {path: path.stat().st_mtime_ns for path in exported.iterdir()}
    assert main(["export", str(run), str(tmp_path)]) == 2
    assert "is a link" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in exported.iterdir()} == before


def test_an_export_that_was_cut_short_is_written_again(run, exported, tmp_path, monkeypatch):  # noqa: F811
    def cut(*parts):
        raise KeyboardInterrupt

    target = tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr("decaystudy.hub.export.model_card", cut)
        assert main(["export", str(run), str(target)]) == 130
    assert not (target / "config.json").exists()
    assert main(["export", str(run), str(target)]) == 0
    names = {path.name for path in exported.iterdir() if not path.name.startswith(("evaluation", "__pycache__"))}
    assert {path.name for path in target.iterdir()} == names


def test_exporting_again_replaces(exported, run):  # noqa: F811
    (exported / "evaluation.json").write_text("{}")
    assert main(["export", str(run), str(exported)]) == 0
    assert not (exported / "evaluation.json").exists()


def test_text_from_a_run_and_from_its_export(exported, run, capsys):  # noqa: F811
    capsys.readouterr()
    said = []
    for folder in (run, exported):
        assert main(["generate", str(folder), "--prompt", "Return the", "--tokens", "12", "--temperature", "0"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].startswith("Return the")
    assert main(["generate", str(run), "--tokens", "5", "--temperature", "0.7", "--top-k", "5", "--seed", "3"]) == 0
    assert main(["generate", str(run), "--tokens", "0"]) == 2
    assert "--tokens is 0" in capsys.readouterr().err


def test_a_flipped_bit_is_never_generated_from(exported, run, tmp_path, capsys):  # noqa: F811
    import shutil

    from decaystudy.errors import UserError

    for source, opens in ((exported, "evaluate"), (run, "generate"), (run, "export")):
        folder = tmp_path / opens
        shutil.copytree(source, folder)
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1000] ^= 4
        (folder / "model.safetensors").write_bytes(content)
        more = {"export": [str(tmp_path / "elsewhere")], "evaluate": ["--tasks", "offline"], "generate": []}[opens]
        assert main([opens, str(folder), *more]) == 2
        said = capsys.readouterr().err
        assert f"{folder}/model.safetensors is broken (its checksum is wrong)" in said and "Traceback" not in said
    with pytest.raises(UserError, match="checksum"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "evaluate")


def test_weights_of_another_run_are_never_generated_from(run, tmp_path, capsys):  # noqa: F811
    import shutil

    from decaystudy.runs.weights import read_weights, write_weights

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    weights = folder / "model.safetensors"
    write_weights(weights, {name: value + 1e-3 for name, value in read_weights(weights).tensors.items()})
    for words in (["generate", str(folder)], ["export", str(folder), str(tmp_path / "elsewhere")]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"{weights} holds other weights than those that result.json was written with (their checksum is" in said
    assert not (tmp_path / "elsewhere").exists()


def test_a_broken_tokenizer_is_named(exported, tmp_path, capsys):
    import shutil

    shutil.copytree(exported, tmp_path / "model")
    (tmp_path / "model" / "tokenizer_config.json").write_text("[")
    assert main(["generate", str(tmp_path / "model")]) == 2
    assert f"cannot open the tokenizer in {tmp_path / 'model'}: " in capsys.readouterr().err


def test_paths_from_home_and_what_is_of_someone_else(run, tmp_path, capsys, monkeypatch):  # noqa: F811
    """A tilde that the shell has left alone, as in quotes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "models" / "mine"
    assert main(["export", str(run), "~/models/mine"]) == 0
    assert (model / "config.json").is_file() and not (tmp_path / "~").exists()
    evaluate = ["evaluate", "~/models/mine", "--tasks", "offline_last_word", "--limit", "2"]
    assert main(evaluate) == 0 and (model / "evaluation.json").is_file()
    assert main(["generate", "~/models/mine", "--tokens", "1"]) == 0
    (model / "evaluation" / "mine.json").write_text("{}")
    assert main(["export", str(run), str(model)]) == 0, "over the earlier one"
    assert [path.name for path in (model / "evaluation").iterdir()] == ["mine.json"]
    assert not (model / "evaluation.json").exists() and not (tmp_path / "~").exists()
    assert main(["decays", str(run), "--figure", "~/decays.svg"]) == 0
    assert (tmp_path / "decays.svg").is_file() and not (tmp_path / "~").exists()

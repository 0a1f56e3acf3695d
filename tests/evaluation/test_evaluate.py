"""Evaluating runs and exported models: what is written, found again, refused and gone on with."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.evaluation import evaluate as module
from decaystudy.evaluation.evaluate import evaluate
from decaystudy.io import read_mapping
from decaystudy.runs.evaluation import EvaluationFolder, TaskResult, mean_accuracy, read_evaluation, read_outcomes
from tests.evaluation.conftest import fit


def test_what_an_evaluation_writes(copied, capsys):
    assert main(["evaluate", str(copied), "--tasks", "offline"]) == 0
    table = capsys.readouterr().out
    assert "mean of 2 tasks" in table and "mean accuracy" not in table
    assert "offline_last_word acc (chance 0)" in table and "offline_continuation acc (chance 0.25)" in table
    values = json.loads((copied / "evaluation.json").read_text())
    assert set(values["tasks"]) == {"offline_last_word", "offline_continuation"}
    assert len(values["weights"]) == 32
    row = values["tasks"]["offline_continuation"]
    assert row["samples"] == 150 and row["version"] == 1.0 and 0 < row["acc"] < 1
    outcomes = read_outcomes(copied, "offline_continuation")
    assert outcomes is not None and outcomes.shape == (150,) and set(outcomes) <= {0.0, 1.0}
    assert outcomes.mean() == pytest.approx(row["acc"])
    assert row["acc_stderr"] == pytest.approx(outcomes.std(ddof=1) / math.sqrt(150))
    # The perplexity in memory is the one that training ended with.
    assert values["validation"]["loss"] == pytest.approx(read_mapping(copied / "result.json")["val_loss"], rel=1e-5)
    assert f"{row['acc']:.4f}" in table
    # So are the bits per byte, which stand beside it everywhere.
    bits = read_mapping(copied / "result.json")["val_bits_per_byte"]
    assert values["validation"]["bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    assert (
        "validation bits per byte" in table
        and f"{values['validation']['bits_per_byte']:.4f}" in table
        and "validation perplexity" in table
    )


def test_perplexity_without_tasks(copied, capsys):
    assert main(["evaluate", str(copied), "--tasks", "none", "--lengths", "false"]) == 0
    table = capsys.readouterr().out
    assert "validation perplexity" in table and "acc" not in table and "mean of" not in table
    assert not json.loads((copied / "evaluation.json").read_text())["tasks"]


def test_across_tokenizers_no_perplexities_are_printed_side_by_side(copied, tmp_path, capsys):
    other = fit(tmp_path / "other", "--data.tokenizer", "bpe:500")
    capsys.readouterr()
    words = ["evaluate", str(copied), str(other), "--tasks", "offline", "--limit", "2"]
    assert main(words) == 0
    table = capsys.readouterr().out.split("tokens per sequence")[0]
    assert "validation bits per byte" in table and "validation perplexity" not in table
    assert main([*words, "--figure", str(tmp_path / "loss.svg")]) == 2
    assert "different tokenizers" in capsys.readouterr().err and not (tmp_path / "loss.svg").exists()


def test_found_again_and_gone_on_with(copied, monkeypatch, capsys):
    done = []
    real = module.evaluate_task

    def interrupted(model, name, task, limit):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(name)
        return real(model, name, task, limit)

    monkeypatch.setattr(module, "evaluate_task", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(copied, "offline", limit=10)
    assert list(read_evaluation(copied).tasks) == done == ["offline_last_word"]
    asked = []
    monkeypatch.setattr(module, "evaluate_task", lambda *given: asked.append(given[1]) or real(*given))
    first = evaluate(copied, "offline", limit=10)
    assert asked == ["offline_continuation"]
    assert evaluate(copied, "offline", limit=10) == first and asked == ["offline_continuation"]
    assert evaluate(copied, "offline", limit=12).tasks["offline_last_word"].samples == 12


def test_other_weights_are_not_evaluated_by_this(copied):
    before = evaluate(copied, "offline", limit=10)
    weights = load_file(copied / "model.safetensors")
    weights["head.weight"][3, 5] += 0.5
    save_file(weights, copied / "model.safetensors")
    assert read_evaluation(copied) is None and read_outcomes(copied, "offline_last_word") is None
    after = evaluate(copied, "offline", limit=10)
    assert after.weights != before.weights
    assert after.validation.loss != before.validation.loss
    assert read_evaluation(copied) == after


def test_a_copy_is_known_by_its_content(run, copied):
    evaluate(copied, "offline_last_word", limit=5)
    (copied / "model.safetensors").touch()
    assert read_evaluation(copied) is not None
    assert EvaluationFolder(run).weights_hash() == EvaluationFolder(copied).weights_hash()


def test_batch_sizes_agree(copied, run):
    auto = evaluate(copied, "offline", limit=40)
    (copied / "evaluation.json").unlink()
    plain = evaluate(copied, "offline", limit=40, batch_size=7)
    for task, result in auto.tasks.items():
        for metric in ("acc", "acc_norm"):
            assert result.metrics.get(metric) == plain.tasks[task].metrics.get(metric)
    assert auto.tasks["offline_last_word"].metrics["perplexity"] == pytest.approx(
        plain.tasks["offline_last_word"].metrics["perplexity"], rel=1e-4
    )


@pytest.fixture(scope="module")
def stock(tmp_path_factory, run):
    """A small random GPT-2 in Hugging Face form, with the run's tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from decaystudy.hub.from_run import hub_tokenizer
    from decaystudy.runs.loading import load_run

    folder = tmp_path_factory.mktemp("stock")
    tokenizer = hub_tokenizer(load_run(run))
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=128, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_stock_model_scores_as_lm_eval_scores_it(stock):
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from decaystudy.evaluation.tasks.files import task_folder

    ours = evaluate(stock, "offline", limit=30, batch_size=4)
    names = ["offline_last_word", "offline_continuation"]
    with module.quiet(names[0]):
        direct = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(stock)},
            tasks=names,
            task_manager=TaskManager(include_defaults=False, include_path=str(task_folder("offline"))),
            limit=30,
            batch_size=4,
            device="cpu",
            bootstrap_iters=module.BOOTSTRAP_OWN,
        )
    for name in names:
        row = direct["results"][name]
        expected = {key.removesuffix(",none"): value for key, value in row.items() if "," in key}
        assert {key: ours.tasks[name].metrics[key] for key in expected} == expected
    assert ours.validation is None
    assert "validation" not in json.loads((stock / "evaluation.json").read_text())


def test_an_evaluation_that_is_none_is_refused_in_a_sentence(copied, capsys):
    (copied / "evaluation.json").write_text('{"weights": "x", "tasks": {"piqa": {"acc": "high", "samples": 3}}}')
    assert main(["evaluate", str(copied), "--tasks", "offline"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "tasks.piqa.acc is 'high', not a number" in said and "remove it and evaluate again" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}"], "no run's folder"),
        ([], "name at least one run"),
        (["{run}", "--tasks", "offlin"], "did you mean 'offline'"),
        (["{run}", "--tasks", ","], "names no task"),
        (["{run}", "--tasks", "offline", "--limit", "0"], "--limit is 0"),
        (["{run}", "--tasks", "offline", "--batch-size", "some"], "--batch-size"),
    ],
)
def test_mistakes_get_one_sentence(arguments, says, copied, tmp_path, capsys):
    words = [word.format(tmp=tmp_path, run=copied) for word in arguments]
    assert main(["evaluate", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("decaystudy: ") and says in said


def test_an_unfinished_run_says_so(copied):
    (copied / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors is gone: restore it from a copy"):
        evaluate(copied, "offline")


def test_questions_that_were_trained_on_are_refused(copied):
    config = (copied / "config.yaml").read_text()
    assert "validation_fraction: null" in config
    (copied / "config.yaml").write_text(config.replace("validation_fraction: null", "validation_fraction: 0.02"))
    result = json.loads((copied / "result.json").read_text())
    del result["data"]["tokenizer_digest"]
    (copied / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match="some of the answers are trained on"):
        evaluate(copied, "offline", limit=5)


def test_mean_accuracy():
    tasks = {
        "hellaswag": TaskResult(9, metrics={"acc": 0.3, "acc_norm": 0.4, "acc_norm_stderr": 0.03}),
        "piqa": TaskResult(9, metrics={"acc": 0.6, "acc_stderr": 0.04, "acc_norm": 0.1}),
        "wikitext": TaskResult(9, metrics={"word_perplexity": 20.0}),
    }
    mean, error = mean_accuracy(tasks)
    assert mean == pytest.approx(0.5) and error == pytest.approx(0.025)
    assert mean_accuracy({"wikitext": tasks["wikitext"]}) is None
    assert np.isclose(mean, 0.5)

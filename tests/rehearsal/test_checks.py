"""The checks that look at runs, on small ones trained in this process: they pass, and each fault is named."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from decaystudy.decay import DECAYS
from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.rehearsal.comparison import compare, first_step_of_last_session
from decaystudy.rehearsal.round_trip import round_trip
from decaystudy.rehearsal.start_values import off_declared, start_medians, start_values
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.weights import write_weights
from tests.training import small

WITNESS = ("--logger", "csv,decaystudy.rehearsal.witness.Witness", "--trainer.log_every_n_steps", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An undisturbed run, and the same run again, stopped and resumed."""
    folder = tmp_path_factory.mktemp("rehearsal")
    assert small.fit(folder / "undisturbed", *WITNESS) == 0
    assert small.fit(folder / "killed", *WITNESS, "--trainer.max_time", "{seconds: 0.000001}") == 75
    assert small.fit(folder / "killed", *WITNESS) == 0
    return folder


@pytest.fixture
def rehearsal(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    held = RunFolder(tmp_path / "copy" / "undisturbed").read_config()
    return Rehearsal(RunConfig.from_dict(held), tmp_path / "copy", kills=1)


def fails(check, rehearsal):
    with pytest.raises(CheckFailed) as failed:
        check(rehearsal)
    return str(failed.value)


def test_sound_runs_pass(rehearsal):
    assert "one process; λ starts at 0." in start_values(rehearsal) and "as declared" in start_values(rehearsal)
    assert "tensors equal (one file" in round_trip(rehearsal)
    assert len(compare(rehearsal)) == 32
    assert first_step_of_last_session(rehearsal.killed) == 1
    assert first_step_of_last_session(rehearsal.undisturbed) == 0


def test_another_start_value_is_named(rehearsal):
    path = rehearsal.undisturbed / "start-0.json"
    record = json.loads(path.read_text())
    record["weights"]["head.weight"]["digest"] = "0"
    path.write_text(json.dumps(record))
    assert "head.weight starts on rank 0 at other values" in fails(start_values, rehearsal)
    record["decays"][0]["median"] += 0.01
    path.write_text(json.dumps(record))
    assert "λ of layer 0 has on rank 0 a median of" in fails(start_values, rehearsal)
    path.unlink()
    assert "rank 0 has not recorded" in fails(start_values, rehearsal)


def test_a_cut_checkpoint_is_named(rehearsal):
    path = rehearsal.undisturbed / "checkpoints" / "step=12.ckpt"
    os.truncate(path, path.stat().st_size // 2)
    assert "step=12.ckpt is broken (" in fails(round_trip, rehearsal)
    path.unlink()
    assert "step=12.ckpt is broken (" in fails(round_trip, rehearsal)


def other_weights(folder):
    weights = load_file(folder / "model.safetensors")
    weights["head.weight"][0, 0] += 1e-3
    write_weights(folder / "model.safetensors", weights)


def other_tokens(folder):
    lines = (folder / "tokens-0.jsonl").read_text().splitlines()
    (folder / "tokens-0.jsonl").write_text("\n".join([*lines[:-1], lines[-1].replace('"tokens": "', '"tokens": "x')]))


def fewer_tokens(folder):
    lines = (folder / "tokens-0.jsonl").read_text().splitlines()
    (folder / "tokens-0.jsonl").write_text("\n".join(lines[:-1]))


def repeated_tokens(folder):
    with (folder / "tokens-0.jsonl").open("a") as file:
        file.write(json.dumps({"session": "x", "step": 3, "part": 0, "tokens": "x"}) + "\n")


def other_curve(folder):
    text = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text("\n".join([*text[:-1], text[-1].replace(".", ".9", 1)]) + "\n")


def other_result(folder):
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "train_loss": 1.0}))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (other_weights, "head.weight ends up to 0.001 apart"),
        (other_tokens, "rank 0 sees other tokens at step 12"),
        (fewer_tokens, "rank 0 sees other tokens at step 12"),
        (repeated_tokens, "other tokens when step 4 is repeated"),
        (other_curve, "of step 12 is"),
        (other_result, "train_loss in result.json is"),
    ],
)
def test_a_difference_is_named(harm, says, rehearsal):
    harm(rehearsal.killed)
    assert says in fails(compare, rehearsal)


def test_weights_in_a_checkpoint_that_are_not_the_trained_ones(rehearsal):
    other_weights(rehearsal.undisturbed)
    assert "differ in model.head.weight" in fails(round_trip, rehearsal)


OPTIONS = [(name, {}) for name in DECAYS if name not in ("tnl", "tnl-l")]
OPTIONS += [("simple", {"p": 0.8}), ("constant", {"c": 0.9}), ("gla", {"temperature": "inside"})]
OPTIONS += [(name, {"start": 0.7}) for name in ("mamba2", "mamba2-no-delta", "gla", "hgrn2", "simple")]
CASES = [(name, options, "vector") for name, options in OPTIONS]
CASES += [(name, {}, "scalar") for name in DECAYS] + [("tnl-l", {"released": True}, "scalar")]


@pytest.mark.parametrize(("name", "options", "granularity"), CASES)
def test_every_decay_starts_where_it_declares(name, options, granularity):
    for seed in range(5):
        config = RunConfig.build(
            "tiny", seed=seed, model={"decay": name, "decay_options": options, "granularity": granularity}
        )
        medians = start_medians(DecayTransformer(config.model, seed=seed))
        assert len(medians) == 3 and off_declared(config, medians) == []
    if granularity == "vector" or "mamba2" not in name:  # two heads that are drawn may start anywhere
        assert len(off_declared(config, [median * 0.05 for median in medians])) == 3


def test_a_start_that_comes_to_nothing_is_named():
    config = RunConfig.build("tiny", model={"decay": "tests.rehearsal.own.Forgetful", "decay_options": {"start": 0.9}})
    wrong = off_declared(config, start_medians(DecayTransformer(config.model)))
    assert len(wrong) == 3 and "layer 0 starts at a median of 0.5 and decay" in wrong[0] and "declares 0.9:" in wrong[0]
    sound = [("tests.rehearsal.own.Undeclared", {}), ("tests.decay.own.TwoGates", {"start": 0.9})]
    for name, options in sound:
        other = RunConfig.build("tiny", model={"decay": name, "decay_options": options})
        assert off_declared(other, start_medians(DecayTransformer(other.model))) == []


def test_softmax_has_no_start():
    config = ModelConfig.preset("tiny", mixer="softmax")
    with torch.no_grad():
        assert start_medians(DecayTransformer(config)) == []

"""Settings through the command line: obeyed or refused with a reason, before a folder is claimed."""

import json

import pytest
import yaml

from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study

SMALL = ["--model.layers", "1", "--model.d_model", "32", "--model.glu_width", "64", "--data.sequence_length", "64"]
SMALL += ["--data.validation_tokens", "2000"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--trainer.limit_train_batches 3", "max_steps for a shorter run"),
        ("--trainer.limit_train_batches 0.5", "max_steps for a shorter run"),
        ("--trainer.limit_val_batches 0", "use --data.validation_tokens"),
        ("--trainer.limit_val_batches 1.0", "use --data.validation_tokens"),
        ("--trainer.val_check_interval 0", "use --recipe.validate_every"),
        ("--trainer.num_nodes 0", "trainer.num_nodes is 0"),
        ("--trainer.num_nodes two", "trainer.num_nodes is 'two'"),
        ("--trainer.devices []", "at least one index"),
        ("--trainer.devices 0", "trainer.devices is 0"),
        ("--trainer.devices [0] --trainer.accelerator cpu", "devices"),
        ("--trainer.log_every_n_steps often", "trainer.log_every_n_steps is 'often'"),
        ("--trainer.accumulate_grad_batches x", "trainer.accumulate_grad_batches is 'x'"),
        ("--trainer.max_time 10", "such as 00:01:30:00"),
        ("--trainer.plugins x", "--trainer.precision"),
        ("--strategy xla", "choose from auto, ddp, fsdp"),
        ("--strategy ddp_notebook", "choose from auto, ddp, fsdp"),
        ("--recipe.learning_rate .nan", "recipe.learning_rate is nan"),
        ("--recipe.weight_decay=-.inf", "recipe.weight_decay is -inf"),
        ("--recipe.epsilon .inf", "recipe.epsilon is inf"),
        ("--trainer.gradient_clip_val .nan", "trainer.gradient_clip_val is nan"),
        ("--model.layers 100000", "at most 4,096"),
        ("--recipe.global_batch_size 1000000000", "at most 65,536"),
        ("--model.layers 4000 --model.d_model 8192 --model.heads 64 --model.glu_width 8192", "make the model smaller"),
        ("--recipe.warmup_steps 91", "warmup_steps 91 is longer than the run of 90 steps"),
        ("--trainer.max_steps 5 --recipe.warmup_steps 6", "or null for the share"),
        ("--model.decay .X", "cannot import the decay"),
        ("--model.decay ..a.b", "cannot import the decay"),
        ("--seed 99999999999999999999", "seed is"),
    ],
)
def test_a_refused_setting_leaves_no_folder(words, says, tmp_path, capsys):
    assert main(["fit", *words.split(), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert says in said and said.startswith("decaystudy: ") and said.strip().count("\n") == 0, said
    assert not (tmp_path / "run").exists()


def test_a_refusal_leaves_a_folder_as_it_was(tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.yaml").write_text("my: own\n")
    assert main(["fit", "--out", str(mine)]) == 2
    assert [path.name for path in mine.iterdir()] == ["config.yaml"]
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").write_text("a file")  # found after the run's lock was taken
    assert main(["fit", "--out", str(tmp_path / "run")]) == 2
    assert "cache" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("word", ["limit_train_batches: 2", "limit_val_batches: 0.5", "fast_dev_run: true"])
def test_a_study_refuses_them_alike(word, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "title: t\nquestion: q?\nscale: tiny\naxis: decay\nbaseline: mamba2\n"
        f"settings: {{trainer: {{{word}}}}}\ngrid:\n  decay: [mamba2, gla]\n"
    )
    assert main(["run-study", str(file), "--out", str(tmp_path / "out"), "--dry-run"]) == 2
    assert f"trainer.{word.partition(':')[0]} cannot be set: " in capsys.readouterr().err


def test_one_step_trains_and_the_log_states_the_warm_up(tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    words = ["fit", *SMALL, "--trainer.max_steps", "1", "--trainer.profiler", "simple", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert "warm-up over the first step" in caplog.text
    held = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert held["recipe"]["warmup_steps"] == 1
    assert json.loads((tmp_path / "run" / "result.json").read_text())["step"] == 1
    assert "FIT Profiler Report" in (tmp_path / "run" / "fit-profile.txt").read_text()


def test_a_run_that_fails_before_its_first_step_leaves_the_folder_free(tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n")
    out = tmp_path / "run"
    words = ["fit", *SMALL, "--data.source", "files", "--out", str(out), "--trainer.max_steps", "1", "--data.files"]
    assert main([*words, str(tmp_path / "empty.txt")]) == 2
    assert not (out / "config.yaml").exists() and not (out / "status.json").exists()
    assert not list(out.glob("events.out.tfevents.*"))
    assert main(["fit", *SMALL, "--trainer.max_steps", "1", "--seed", "3", "--out", str(out)]) == 0
    assert yaml.safe_load((out / "config.yaml").read_text())["seed"] == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("run-study sharing --dry-run --seeds 0-9999", "give fewer, for at most 5,000"),
        ("run-study sharing --dry-run --sweep lr=[[[", "--sweep"),
        ("run-study sharing --dry-run --sweep lr=.nan", "recipe.learning_rate is nan"),
        ("run-study sharing --dry-run --seeds 99999999999999999999", "seed is"),
        ("data-stats --seed 99999999999999999999 --tokens 9", "seed is"),
        ("prepare-data --tokens 9999999999999999B", "at most 100000B"),
        ("prepare-data --workers x", "give a whole number or null"),
        ("generate runs/a --temperature .nan", "--temperature is nan"),
        ("generate runs/a --top-p .inf", "--top-p is inf"),
        ("generate runs/a --tokens 0", "--tokens is 0"),
        ("generate runs/a --seed 99999999999999999999", "--seed is 99999999999999999999"),
    ],
)
def test_other_verbs_refuse_alike(words, says, capsys):
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert says in said and said.startswith("decaystudy: ") and said.strip().count("\n") == 0, said


def test_a_grid_without_end_is_refused(tmp_path, capsys):
    axes = ["seed", "learning_rate", "weight_decay", "epsilon", "warmup_steps"]
    levels = "".join(f"  {axis}: [{', '.join(map(str, range(1, 12)))}]\n" for axis in axes[1:])
    (tmp_path / "s.yaml").write_text(f"title: t\nquestion: q?\nscale: tiny\naxis: learning_rate\ngrid:\n{levels}")
    assert main(["run-study", str(tmp_path / "s.yaml"), "--dry-run"]) == 2
    assert "the grid has 14,641 cells" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("start", "says"), [(0.5, None), (".nan", "option 'start' of decay 'mamba2' is nan"), ("2", "between 0 and 1")]
)
def test_an_option_of_all_cells_is_one_of_each_decay(start, says, tmp_path, capsys):
    file = tmp_path / "s.yaml"
    head = f"title: t\nquestion: q?\nscale: tiny\naxis: decay\nbaseline: mamba2\nsettings: {{start: {start}}}\n"
    file.write_text(f"{head}grid:\n  decay: [mamba2, gla]\n")
    if says is not None:
        assert main(["run-study", str(file), "--dry-run"]) == 2
        assert says in capsys.readouterr().err
        return
    study = expand(read_study(str(file)))
    assert [cell.config.model.decay_options for cell in study.cells] == [{"start": 0.5}] * 2
    file.write_text(f"{head}grid:\n  decay: [mamba2, tnl]\n  granularity: [scalar]\n")
    assert main(["run-study", str(file), "--dry-run"]) == 2
    assert "decay 'tnl' has no option 'start'" in capsys.readouterr().err

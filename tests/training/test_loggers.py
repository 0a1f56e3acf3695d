"""Where a run's curves go: several loggers at once, a resumed run's one file, and loggers of the user's own."""

import csv

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from decaystudy.cli import main
from decaystudy.errors import UserError
from decaystudy.study.definition.several import expand_all
from decaystudy.study.execution.store import Store
from decaystudy.training.callbacks.progress import Progress
from decaystudy.training.loggers import LOGGERS, LoggerKind, check_loggers, is_installed
from tests.study import small

# Real runs, only short and of a small model.
SHORT = ["--model.layers", "1", "--model.d_model", "32", "--model.glu_width", "64", "--data.sequence_length", "64"]
SHORT += ["--trainer.max_steps", "6", "--trainer.log_every_n_steps", "2", "--data.validation_tokens", "2000"]


def fit(out, *arguments):
    return main(["fit", *SHORT, "--out", str(out), *map(str, arguments)])


def rows(out):
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curve(out, tag):
    events = EventAccumulator(str(out))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_and_csv_tell_the_same(tmp_path):
    assert fit(tmp_path, "--logger", "tensorboard,csv") == 0
    for tag in ("train/loss", "train/learning_rate", "validation/loss", "validation_decay_median/layer_00"):
        told = [(int(row["step"]), float(row[tag])) for row in rows(tmp_path) if row[tag]]
        drawn = curve(tmp_path, tag)
        assert [step for step, _ in told] == [step for step, _ in drawn] != []
        assert [value for _, value in told] == pytest.approx([value for _, value in drawn], rel=1e-6), tag


def test_without_tensorboard_there_are_no_events(tmp_path, capsys):
    assert fit(tmp_path, "--logger", "csv") == 0
    assert not list(tmp_path.glob("events.*"))
    said = capsys.readouterr().out
    assert f"curves:  {tmp_path}/metrics.csv" in said and "decaystudy tensorboard" not in said


def test_a_resumed_run_continues_its_curves(tmp_path, monkeypatch):
    plain = Progress.on_train_batch_end

    def stop_at_five(self, trainer, *rest):
        plain(self, trainer, *rest)
        if trainer.global_step == 5:
            raise RuntimeError("the power is gone")

    monkeypatch.setattr(Progress, "on_train_batch_end", stop_at_five)
    settings = ("--logger", "csv,tensorboard", "--recipe.checkpoint_every", 3)
    with pytest.raises(RuntimeError, match="power"):
        fit(tmp_path, *settings)
    assert [row["step"] for row in rows(tmp_path)] == ["0", "2", "4"], "written as they come, not at the end"
    monkeypatch.undo()
    assert fit(tmp_path, *settings) == 0  # from step 3, so step 4 comes again
    assert {path.name for path in tmp_path.glob("*.csv")} == {"metrics.csv", "summary.csv"}
    assert [row["step"] for row in rows(tmp_path)] == ["0", "2", "4", "6", "6", "6"]
    assert [step for step, _ in curve(tmp_path, "train/loss")] == [2, 4, 6]


OWN = """
from pathlib import Path
from lightning.pytorch.loggers import CSVLogger

class Mine(CSVLogger):
    def __init__(self, folder, config):
        super().__init__(folder, name="mine", version=f"seed{config.seed}")

    def close(self, status):
        (Path(self.root_dir) / "closed").write_text(status)

def factory(folder, config):
    return Mine(folder, config)

def wrong(folder, config):
    return "not a logger"

NUMBER = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "ownlogger.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)  # nothing is installed and no path is set: the working directory is enough
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["ownlogger.Mine", "ownlogger.factory"])
def test_a_logger_of_the_users_own(own, name):
    assert fit(own, "--logger", f"csv,{name}", "--seed", 4) == 0
    theirs = (own / "mine" / "seed4" / "metrics.csv").read_text()
    assert "train/loss" in theirs and theirs.count("\n") == 1 + len(rows(own))
    assert (own / "mine" / "closed").read_text() == "success"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tensorbord", "did you mean 'tensorboard'"),
        ("ownlogger.Absent", "cannot import the logger 'ownlogger.Absent'"),
        ("absent.Logger", "No module named 'absent'"),
        ("ownlogger.NUMBER", "no class or function"),
        ("ownlogger.wrong", "made text"),
        ("", "name at least one"),
        ("csv,,csv", "name at least one"),
    ],
)
def test_refusals(own, name, says, capsys):
    assert fit(own, "--logger", name) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("decaystudy: ")]
    assert len(said) == 1 and says in said[0]
    assert not (own / "events").exists() and not (own / "checkpoints" / "step=6.ckpt").exists()


def test_a_missing_package_names_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(LOGGERS, "other", LoggerKind("a.b", "…", "…", package="package_of_nobody"))
    with pytest.raises(
        UserError, match=r"--logger other needs a package: pip install 'decaystudy\[package_of_nobody\]'"
    ):
        check_loggers(["csv", "other"])
    (tmp_path / "package_of_nobody").mkdir()  # such a folder is what wandb leaves behind, and is no package
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("package_of_nobody") and is_installed("tensorboard")


def test_a_configuration_file_may_list_loggers(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("logger: [csv, tensorboard]\n")
    assert main(["fit", "--config", str(tmp_path / "c.yaml"), "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["logger"] == ["csv", "tensorboard"]
    assert main(["fit", "--config", str(tmp_path / "c.yaml"), "--logger", "csv", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["logger"] == ["csv"]


def test_a_study_passes_them_to_its_runs(tmp_path):
    """Also to a run that an earlier call of the study has begun, since they are no part of what a run is."""
    store = Store(tmp_path)
    folders = set()
    for loggers in (["csv"], ["tensorboard", "csv"]):
        run = expand_all(["dplr"], overrides={"logger": loggers})[0].runs()[0]
        folder = store.claim(run)
        folders.add(folder.path)
        assert folder.read_config()["logger"] == loggers
    assert len(folders) == 1


@pytest.mark.slow
@pytest.mark.long
def test_the_runs_of_a_study_use_them(tmp_path):
    text = (
        small.STUDY[: small.STUDY.index("grid:")]
        .replace("max_steps: 40", "max_steps: 4")
        .replace("warmup_steps: 5", "warmup_steps: 2")
    )
    file = small.write_study(tmp_path, text.replace("baseline: mamba2", "cells: [{name: gla, decay: gla}]"))
    out = tmp_path / "out"
    small.run(str(file), "--out", str(out), "--logger", "nope", expect=2)
    small.run(str(file), "--out", str(out), "--logger", "csv", "--trainer.log_every_n_steps", "2")
    (run,) = out.glob("store/*-*")
    assert [row["step"] for row in rows(run)] == ["0", "2", "4", "4", "4"] and not list(run.glob("events.*"))
    for name in ("result.json", "status.json"):
        (run / name).unlink()
    small.run(str(file), "--out", str(out), "--logger", "tensorboard")
    assert list(out.glob("store/*-*")) == [run] and list(run.glob("events.*"))

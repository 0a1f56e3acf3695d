"""Runs that are ended from outside: a checkpoint after the current step, and one run, bit for bit, in the end."""

import os
import signal

import pytest

from decaystudy.runs.folder import RunFolder
from tests.training import small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert small.fit(out) == 0
    return small.numbers(out)


def signalled(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [(2, 130, "Ctrl-C"), (15, 143, "SIGTERM"), (signal.SIGUSR1, 75, "SIGUSR1"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_ends_the_run_with_a_checkpoint(number, code, name, undisturbed, tmp_path, monkeypatch, capsys):
    before = [signal.getsignal(each) for each in (2, 15, signal.SIGUSR1, signal.SIGHUP)]
    with monkeypatch.context() as patch:
        small.at_step(patch, 7, signalled(number))
        assert small.fit(tmp_path) == code
    said = capsys.readouterr().err
    assert f"stopped by {name}: the same command resumes at step 7 of 12" in said and "Traceback" not in said
    assert "step=7.ckpt" in small.saved(tmp_path)
    folder = RunFolder(tmp_path)
    assert folder.state() == "killed" and folder.read_status()["step"] == 7
    assert [signal.getsignal(each) for each in (2, 15, signal.SIGUSR1, signal.SIGHUP)] == before
    assert small.fit(tmp_path) == 0
    assert small.numbers(tmp_path) == undisturbed


def test_a_signal_at_a_validation_or_the_last_step(undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:  # 4 has a checkpoint, 8 has one and a validation, 12 is the end
        small.at_step(patch, 8, signalled(signal.SIGTERM))
        assert small.fit(tmp_path) == 143
    with monkeypatch.context() as patch:
        small.at_step(patch, 12, signalled(signal.SIGTERM))
        assert small.fit(tmp_path) == 0
    assert small.numbers(tmp_path) == undisturbed


def test_time_that_is_up(undisturbed, tmp_path, capsys):
    limit = ("--trainer.max_time", "{seconds: 0.000001}")
    for step in (1, 2):
        assert small.fit(tmp_path, *limit) == 75
        assert f"stopped by trainer.max_time: the same command resumes at step {step} of 12" in capsys.readouterr().err
    assert small.fit(tmp_path) == 0
    assert small.numbers(tmp_path) == undisturbed


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_a_resumed_run_keeps_its_precision(precision, tmp_path):
    """A decay's own tensors are float32 until they are converted, and must not be read from a checkpoint as such."""
    more = ("--trainer.precision", precision, "--model.layers", 2, "--model.decay", "hgrn2")
    assert small.fit(tmp_path / "whole", *more) == 0
    for _ in range(2):
        assert small.fit(tmp_path / "stopped", *more, "--trainer.max_time", "{seconds: 0.000001}") == 75
    assert small.fit(tmp_path / "stopped", *more) == 0
    assert small.numbers(tmp_path / "stopped") == small.numbers(tmp_path / "whole")


@pytest.mark.parametrize("wrong", ["5", "an hour", "00:00:00:00", "{years: 1}"])
def test_a_time_limit_that_means_nothing(wrong, tmp_path, capsys):
    assert small.fit(tmp_path, "--trainer.max_time", wrong) == 2
    said = capsys.readouterr().err
    assert "trainer.max_time" in said and "days:hours:minutes:seconds" in said and said.count("\n") == 1


def test_interruptions_leave_no_checkpoints_behind(undisturbed, tmp_path, monkeypatch):
    for step in (3, 5, 6, 9):
        with monkeypatch.context() as patch:
            small.at_step(patch, step, signalled(signal.SIGINT))
            assert small.fit(tmp_path) == 130
        assert len(small.saved(tmp_path)) <= 2 and f"step={step}.ckpt" in small.saved(tmp_path)
    assert small.fit(tmp_path) == 0
    assert small.saved(tmp_path) == ["step=12.ckpt"]
    assert small.numbers(tmp_path) == undisturbed


@pytest.mark.parametrize("step", [2, 4, 5, 7, 10])
def test_a_crash_gives_one_curve(step, undisturbed, tmp_path, monkeypatch):
    def crash():
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        small.at_step(patch, step, crash)
        with pytest.raises(RuntimeError, match="power"):
            small.fit(tmp_path)
    assert small.fit(tmp_path) == 0
    assert small.numbers(tmp_path) == undisturbed

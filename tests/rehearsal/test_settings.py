"""What a rehearsal is asked for: obeyed, or refused in a sentence before anything is made."""

import signal
from random import Random

import pytest

from decaystudy.cli import main
from decaystudy.commands.rehearse import tiny_run
from decaystudy.rehearsal.kills import plan
from decaystudy.training.world import launched_by, without_world

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1"}
SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
PLAIN = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--kills 0", "--kills is 0: give a whole number of at least 1"),
        ("--kills 1000", "at most 100"),
        ("--devices 0", "--devices is 0"),
        ("--strategy fsdp2", "did you mean 'fsdp'"),
        ("--model.decay mamba3", "did you mean 'mamba2'"),
        ("--model.decay_options.q 1", "no option 'q'"),
        ("--trainer.max_steps 5", "give accelerator, precision, deterministic"),
        ("--trainer.devices 2", "use --devices"),
        ("--trainer.precision 17", "choose from"),
        ("--kill 2", "did you mean --kills"),
        ("--out /proc/nowhere", "choose another --out"),
    ],
)
def test_a_mistake_is_one_sentence(words, says, tmp_path, capsys):
    assert main(["rehearse", "--out", str(tmp_path / "out"), *words.split()]) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.startswith("decaystudy: ") and said.err.count("\n") == 1, said.err
    assert not said.out and not (tmp_path / "out").exists()


@pytest.mark.parametrize("world", [TORCHRUN, SRUN, PLAIN])
def test_one_of_several_processes_is_refused(world, tmp_path, monkeypatch, capsys):
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    assert main(["rehearse", "--out", str(tmp_path / "out"), "--devices", "2"]) == 2
    said = capsys.readouterr().err
    assert "starts its processes itself" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_single_process_of_torchrun_or_srun_may_rehearse():
    for world in ({**TORCHRUN, "WORLD_SIZE": "1"}, {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, {"RANK": "1"}, {}):
        assert launched_by(world) is None
    kept = {"PATH": "p", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "CUDA_VISIBLE_DEVICES": "0", "NCCL_DEBUG": "INFO"}
    assert without_world({**TORCHRUN, **SRUN, **PLAIN, "DECAYSTUDY_SUPERVISOR": "3", **kept}) == kept


def test_the_run_follows_the_devices_and_the_settings():
    config = tiny_run({"strategy": "fsdp", "model": {"decay": "gla"}, "trainer": {"precision": "bf16-mixed"}}, 2, 3)
    assert (config.strategy, config.model.decay, config.trainer["precision"]) == ("fsdp", "gla", "bf16-mixed")
    assert config.trainer["devices"] == 2 and config.recipe.global_batch_size == 8
    assert tiny_run({}, 3, 100).recipe.global_batch_size % 3 == 0


def test_kills_are_planned():
    for seed in range(50):
        kills = plan(5, 50, Random(seed))
        steps = [kill.step for kill in kills]
        assert steps == sorted(set(steps)) and steps[0] >= 2 and steps[-1] < 46
        assert [kill.number for kill in kills[:2]] == [signal.SIGKILL, signal.SIGTERM]
    assert [kill.number for kill in plan(1, 26, Random(0))] == [signal.SIGKILL]


def test_signals_that_are_ignored_are_not_sent(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    assert {kill.number for kill in plan(20, 140, Random(0))} == {signal.SIGKILL}

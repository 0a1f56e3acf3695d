"""Which process of a run this one is, whoever has started it, and whatever the environment says beside."""

import pytest

from decaystudy.errors import UserError
from decaystudy.training.world import World, find_world
from tests.training import small

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_NTASKS": "4"}


def test_worlds():
    one, two = {"devices": 1}, {"devices": 2, "num_nodes": 2}
    assert find_world(one, {}) == find_world(one, {"RANK": "1", "LOCAL_RANK": "1", "SLURM_PROCID": "3"}) == World(1)
    assert find_world(one, {}).first
    torchrun = {**TORCHRUN, "RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1"}
    srun = {**SRUN, "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    plain = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for environment in (torchrun, srun, plain):
        assert find_world(two, environment) == World(2, 2, 3, 1, 1) and not find_world(two, environment).first
    alone = find_world(two, {"NODE_RANK": "1", "LOCAL_RANK": "1"})
    assert alone == World(2, 2, 2, 0, 1, started=False) and not alone.first
    typed = {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_NAME": "bash"}
    assert not find_world({"devices": 2}, typed).started, "in a shell on a node, the run starts its own"
    pty = {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_NAME": "dev", "SLURM_PTY_PORT": "4321"}
    assert not find_world({"devices": 2}, pty).started, "so it does in one whose job has a name of its own"
    wrapped = {**srun, "SLURM_JOB_NAME": "bash"}
    assert find_world(two, wrapped) == World(2, 2, 3, 1, 1), "srun bash -c 'decaystudy fit' starts several tasks"
    stray = {"NODE_RANK": "1", "GROUP_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}
    assert find_world({"devices": 2}, stray) == World(2, started=False)


@pytest.mark.parametrize(
    ("trainer", "environment", "says"),
    [
        ({"devices": 1}, {**SRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}, "--trainer.devices 2, or"),
        ({"devices": 2}, SRUN, "--trainer.devices 2 --trainer.num_nodes 2, or srun --nodes 1 --ntasks-per-node 2"),
        ({"devices": 2}, {**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, "srun has started 1 processes"),
        ({"devices": 1}, TORCHRUN, "--trainer.devices 2 --trainer.num_nodes 2, or torchrun --nproc-per-node 1"),
    ],
)
def test_another_number_of_processes_is_refused(trainer, environment, says):
    with pytest.raises(UserError) as refused:
        find_world(trainer, environment)
    assert says in str(refused.value)


def test_a_machine_beyond_the_last_is_refused():
    with pytest.raises(UserError, match=r"NODE_RANK is 2, and the machines .* from 0 to 1: give"):
        find_world({"devices": 2, "num_nodes": 2}, {"NODE_RANK": "2"})


def test_a_stray_rank_changes_nothing(tmp_path, monkeypatch, capsys):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.setenv(name, "1")
    assert small.fit(tmp_path, "--trainer.max_steps", 3) == 0
    assert {"result.json", "metrics.csv", "lock"} <= {path.name for path in tmp_path.iterdir()}
    assert "finished 3 steps" in capsys.readouterr().out


def test_a_second_task_is_refused_before_the_folder_is_made(tmp_path, monkeypatch, capsys):
    for name, value in {**SRUN, "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert small.fit(tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert "srun has started 4 processes" in said and "--trainer.devices 4" in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_finished_run_refuses_what_it_cannot_obey(tmp_path, capsys):
    assert small.fit(tmp_path, "--trainer.max_steps", 2) == 0
    for nonsense in (("--strategy", "dpp"), ("--trainer.devices", 3), ("--trainer.max_time", "soon")):
        assert small.fit(tmp_path, "--trainer.max_steps", 2, *nonsense) == 2, nonsense
        assert "Traceback" not in capsys.readouterr().err


def test_fsdp_on_one_device_trains_on_it(tmp_path):
    assert small.fit(tmp_path / "one") == 0 and small.fit(tmp_path / "fsdp", "--strategy", "fsdp") == 0
    assert small.numbers(tmp_path / "fsdp") == small.numbers(tmp_path / "one")

"""A study on a real SLURM of one node: submit, run two cells, scancel one, resume, report."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.study.execution.launcher import ExecutionOptions
from decaystudy.study.reporting.report import report
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.slurm import Cluster, missing

pytestmark = pytest.mark.slow
TWO = small.STUDY.replace("[mamba2, gla, hgrn2]", "[mamba2, gla]").replace("max_steps: 40", "max_steps: 400")
ON_CLUSTER = ["--launcher", "slurm", "--slurm.gpus_per_node", "0", "--slurm.partition", "test", "--slurm.time", "30"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if missing():
        pytest.skip(f"no SLURM: {missing()}")
    made = Cluster(tmp_path / "slurm")
    before = dict(os.environ)
    try:
        made.start()
        os.environ.update(made.environment)
        yield made
    finally:
        made.stop()
        os.environ.clear()
        os.environ.update(before)


def test_submit_cancel_one_resume_report(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = [str(small.write_study(tmp_path / "file", TWO)), "--out", str(out), *ON_CLUSTER]
    said = small.run(*call)
    assert "mamba2-seed0 submitted as job" in said and "--attach" in said
    folder = next((out / "store").glob("gla-*"))
    job = json.loads((folder / "slurm_job.json").read_text())["id"]
    # Submitting again submits nothing twice.
    assert "submitted" not in small.run(*call)
    wait_for(lambda: any((folder / "checkpoints").glob("*.ckpt")))
    cluster.ask("scancel", job)
    said = small.run(*call, "--attach", expect=1)
    assert "✔ mamba2-seed0 finished" in said and "✘ gla-seed0" in said
    states = {cell["name"]: cell["status"] for cell in small.results(out)["runs"]}
    assert states["mamba2"] == "finished" and states["gla"] in ("killed", "failed")
    assert "gla-seed0 submitted as job" in small.run(*call)
    said = small.run(*call, "--attach")
    assert "✔ gla-seed0 finished" in said
    log = (folder / "log.txt").read_text()
    assert log.count("training 400 steps") == 2 and log.count("step 1/400") == 1, "it went on from its checkpoint"
    assert small.results(out)["complete"]
    assert small.run(*call).count("submitted") == 0
    report(out=str(out))
    assert "gla" in (out / "small" / "report.html").read_text()


def test_a_preempted_job_is_requeued_and_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    one = TWO[: TWO.index("claims:")].replace("axis: decay\nbaseline: mamba2\n", "").replace("[mamba2, gla]", "[gla]")
    call = [str(small.write_study(tmp_path / "file", one)), "--out", str(out), *ON_CLUSTER]
    small.run(*call)
    folder = next((out / "store").glob("gla-*"))
    wait_for(lambda: any((folder / "checkpoints").glob("*.ckpt")))
    job = json.loads((folder / "slurm_job.json").read_text())["id"]
    cluster.ask("scontrol", "requeue", job)
    wait_for(lambda: "PENDING" in cluster.ask("squeue", "--noheader", "--format", "%T"))
    cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # SLURM would let two minutes pass
    said = small.run(*call, "--attach")
    assert "✔ gla-seed0 finished" in said
    log = (folder / "log.txt").read_text()
    assert log.count("training 400 steps") == 2 and log.count("step 1/400") == 1


def test_cancel_ends_the_jobs(cluster: Cluster, tmp_path: Path) -> None:
    call = [str(small.write_study(tmp_path / "file", TWO)), "--out", str(tmp_path / "out"), *ON_CLUSTER]
    small.run(*call)
    assert "cancelled 2 jobs" in small.run(*call, "--cancel")
    wait_for(lambda: not cluster.ask("squeue", "--noheader").strip())


def wait_for(happened: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_no_slurm_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch is not on this machine"):
        run_study(StudyRequest(["dplr"], out=str(tmp_path / "out")), ExecutionOptions(launcher="slurm"))

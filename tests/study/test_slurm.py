"""Studies on a real SLURM of one node: arrays, cancelled, preempted and warned jobs, evaluations, several processes."""

import contextlib
import io
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decaystudy.errors import UserError
from decaystudy.study.execution.launcher import ExecutionOptions
from decaystudy.study.execution.slurm import max_array_size
from decaystudy.study.reporting.report import report
from decaystudy.study.run import StudyRequest, run_study
from decaystudy.study.status import status
from tests.study import small
from tests.study.slurm import Cluster, running

pytestmark = pytest.mark.slow
TWO = small.STUDY.replace("[mamba2, gla, hgrn2]", "[mamba2, gla]").replace("max_steps: 40", "max_steps: 400")
ON_CLUSTER = ["--launcher", "slurm", "--slurm.gpus_per_node", "0", "--slurm.partition", "test", "--slurm.time", "30"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running(tmp_path / "slurm") as made:
        yield made


def jobs_of(out: Path) -> dict[str, dict[str, Any]]:
    """slurm_job.json of each run, by cell."""
    return {path.parent.name.split("-")[0]: json.loads(path.read_text()) for path in out.glob("store/*/slurm_job.json")}


def test_an_array_one_task_cancelled_resumed_evaluated_reported(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = TWO.replace("sequence_length: 64", "sequence_length: 128") + "evaluate: offline_last_word\n"
    call = [str(small.write_study(tmp_path / "file", text)), "--out", str(out), *ON_CLUSTER]
    said = small.run(*call)
    assert "mamba2-seed0 submitted as job" in said and "--attach" in said
    jobs = jobs_of(out)
    ids = [jobs[cell]["id"] for cell in ("mamba2", "gla")]
    array, evaluations = ids[0].split("_")[0], jobs["gla"]["evaluation"]["id"].split("_")[0]
    assert ids == [f"{array}_0", f"{array}_1"] and evaluations != array
    queue = cluster.ask("squeue", "--noheader", "--array", "--Format=JobArrayID:20,Dependency:40")
    assert f"aftercorr:{array}" in queue
    # Submitting again submits nothing twice.
    assert "submitted" not in small.run(*call)
    folder = next((out / "store").glob("gla-*"))
    wait_for(lambda: any((folder / "checkpoints").glob("*.ckpt")))
    cluster.ask("scancel", ids[1])
    said = small.run(*call, "--attach", expect=1)
    assert "✔ mamba2-seed0 finished" in said and "✔ mamba2-seed0 evaluated" in said
    assert "✘ gla-seed0 killed" in said and "gla-seed0 not evaluated" not in said, "what was not trained is not asked"
    states = {cell["name"]: cell["status"] for cell in small.results(out)["runs"]}
    assert states == {"mamba2": "finished", "gla": "killed"}
    said = small.run(*call)
    assert "gla-seed0 submitted as job" in said and "mamba2" not in said
    said = small.run(*call, "--attach")
    assert "✔ gla-seed0 finished" in said and "✔ gla-seed0 evaluated" in said
    log = (folder / "log.txt").read_text()
    assert log.count("training 400 steps") == 2 and log.count("step 1/400") == 1, "it resumed from its checkpoint"
    found = small.results(out)
    assert found["complete"] and found["tasks"] == ["offline_last_word"]
    assert small.run(*call).count("submitted") == 0
    report(out=str(out))
    assert "gla" in (out / "small" / "report.html").read_text()


def test_a_preempted_and_a_warned_job_are_requeued_and_resume(cluster: Cluster, tmp_path: Path) -> None:
    """One task is requeued by the cluster; the other is warned, as before a time-out, and has itself requeued."""
    out = tmp_path / "out"
    call = [str(small.write_study(tmp_path / "file", TWO)), "--out", str(out), *ON_CLUSTER]
    small.run(*call)
    ids = {cell: job["id"] for cell, job in jobs_of(out).items()}
    folders = {cell: next((out / "store").glob(f"{cell}-*")) for cell in ids}
    for folder in folders.values():
        wait_for(lambda folder=folder: any((folder / "checkpoints").glob("*.ckpt")))
    cluster.ask("scontrol", "requeue", ids["mamba2"])
    cluster.ask("scancel", "--signal=USR2", ids["gla"])
    listed = "--noheader", "--array", "--Format=State:12,RestartCnt:4"
    wait_for(lambda: len(re.findall(r"PENDING +1", cluster.ask("squeue", *listed))) == 2)
    capture = io.StringIO()
    with contextlib.redirect_stdout(capture):
        status(["small"], out=str(out), watch=False)
    assert f"job {ids['gla']} requeued" in capture.getvalue()
    for id in ids.values():
        cluster.ask("scontrol", "update", f"JobId={id}", "StartTime=now")  # SLURM would let two minutes pass
    said = small.run(*call, "--attach")
    for cell, folder in folders.items():
        assert f"✔ {cell}-seed0 finished" in said
        log = (folder / "log.txt").read_text()
        assert log.count("training 400 steps") == 2 and log.count("step 1/400") == 1


@pytest.mark.long
def test_a_failed_evaluation_is_reported_and_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    """Exit code 1 for whoever watches, at once or later; the next call evaluates only."""
    out = tmp_path / "out"
    text = TWO.replace("max_steps: 400", "max_steps: 20").replace("sequence_length: 64", "sequence_length: 128")
    file = small.write_study(tmp_path / "file", text + "evaluate: piqa\n")
    os.environ.update(HF_HOME=str(tmp_path / "hub"), HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    call = [str(file), "--out", str(out), *ON_CLUSTER]
    small.run(*call)
    for _ in range(2):
        said = small.run(*call, "--attach", expect=1)
        for cell in ("mamba2", "gla"):
            assert re.search(rf"✘ {cell}-seed0 not evaluated: .*piqa.*\(log: ", said), said
        assert "Traceback" not in said
    assert small.results(out)["complete"]
    capture = io.StringIO()
    with contextlib.redirect_stdout(capture):
        status(["small"], out=str(out), watch=False)
    assert capture.getvalue().count("finished, not evaluated") == 2
    small.write_study(tmp_path / "file", text + "evaluate: offline_last_word\n")
    said = small.run(*call)
    assert said.count("evaluation submitted as job") == 2 and "seed0 submitted" not in said
    assert small.run(*call, "--attach").count("evaluated") == 2


def test_two_processes_of_a_run_with_options_of_sbatch(cluster: Cluster, tmp_path: Path) -> None:
    """A run over two tasks of a job, alone, with options that the real sbatch must take."""
    out = tmp_path / "out"
    one = TWO[: TWO.index("claims:")].replace("axis: decay\nbaseline: mamba2\n", "").replace("[mamba2, gla]", "[gla]")
    file = small.write_study(tmp_path / "file", one.replace("max_steps: 400", "max_steps: 20"))
    extra = [
        "--slurm.extra",
        "--comment=two of them,nice=5,mail-type=END,FAIL,export=ALL,MINE=1",
        "--slurm.extra=spread-job",
    ]
    call = [str(file), "--out", str(out), *ON_CLUSTER, "--devices", "2"]
    small.run(*call, *extra)
    assert jobs_of(out)["gla"]["id"].isdigit()
    assert "✔ gla-seed0 finished" in small.run(*call, "--attach")
    assert max_array_size() == 1001
    result = json.loads(next((out / "store").glob("gla-*/result.json")).read_text())
    assert result["world_size"] == 2


def test_what_sbatch_refuses_is_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    call = [str(small.write_study(tmp_path / "file", TWO)), "--out", str(tmp_path / "out"), *ON_CLUSTER]
    said = small.run(*call, "--slurm.partition", "nowhere", expect=2)
    assert "decaystudy: sbatch refused the jobs" in said and "nvalid partition" in said and "Traceback" not in said


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

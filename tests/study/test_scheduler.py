"""Which jobs there are, in which order, and what is tried again."""

from pathlib import Path

import pytest

from decaystudy.study.definition.expand import Run, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.job_file import read_job
from decaystudy.study.execution.launcher import (
    ExecutionOptions,
    Job,
    JobKind,
    JobState,
)
from decaystudy.study.execution.progress import EventKind
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import tasks_of_runs
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.planted import plant
from tests.study.pretending import TASKS, DetachedPretender, Pretender, finish, kinds, scheduler


def test_training_comes_before_evaluation_and_each_run_has_both_once(runs: list[Run], tmp_path: Path) -> None:
    planner, notes = scheduler(runs, tmp_path / "out")
    assert [job.kind for job in planner.needed()] == [JobKind.TRAIN] * 3 + [JobKind.EVALUATE] * 3
    assert not planner.run()
    assert [kinds(batch) for batch in Pretender.batches] == [
        ["train mamba2", "train gla", "train hgrn2"],
        ["evaluate mamba2", "evaluate gla", "evaluate hgrn2"],
    ]
    assert notes.lines(EventKind.EVALUATED) == ["mamba2: done", "gla: done", "hgrn2: done"]
    again, _ = scheduler(runs, tmp_path / "out")
    assert again.needed() == [] and not again.run() and len(Pretender.batches) == 2


def test_failures_of_both_kinds_are_reported_and_the_next_call_tries_again(runs: list[Run], tmp_path: Path) -> None:
    Pretender.fates.update({("train", "mamba2"): JobState.KILLED, ("evaluate", "gla"): JobState.FAILED})
    planner, notes = scheduler(runs, tmp_path / "out")
    failures = planner.run()
    assert failures and list(failures.evaluation) == [runs[1].hash] and not failures.training
    assert notes.lines(EventKind.TRAINED) == ["mamba2: killed", "gla: finished", "hgrn2: finished"]
    assert notes.lines(EventKind.EVALUATED) == ["gla: it ended without an answer", "hgrn2: done"]
    folder = Store(tmp_path / "out").find(runs[0])
    assert folder is not None and folder.read_status()["message"] == "as it was to be"
    Pretender.fates.clear()
    again, _ = scheduler(runs, tmp_path / "out")
    assert kinds(again.needed()) == ["train mamba2", "evaluate mamba2", "evaluate gla"]
    assert not again.run()


@pytest.mark.parametrize("launcher", ["Pretender", "DetachedPretender"])
def test_a_failed_evaluation_is_exit_code_1(runs: list[Run], tmp_path: Path, launcher: str) -> None:
    file = small.write_study(tmp_path / "file")
    study = expand(read_study(str(file)))
    plant(study, Store(tmp_path / "out"), {})
    Pretender.fates["evaluate", "gla"] = JobState.FAILED
    text = file.read_text().replace("sequence_length: 64", "sequence_length: 128") + f"evaluate: {TASKS}\n"
    file = small.write_study(tmp_path / "file", text)
    plant(expand(read_study(str(file))), Store(tmp_path / "out"), {})
    options = ExecutionOptions(launcher=f"tests.study.pretending.{launcher}")
    request = StudyRequest([str(file)], out=str(tmp_path / "out"))
    for folder in Store(tmp_path / "out").folders():
        folder.weights.write_bytes(b"weights")
    if launcher == "DetachedPretender":
        assert run_study(request, options) == 0  # the jobs run on their own
        assert run_study(request, options, attach=True) == 1
    else:
        assert run_study(request, options) == 1
    Pretender.fates.clear()
    assert run_study(request, options) == 0
    if launcher == "DetachedPretender":
        assert run_study(request, options, attach=True) == 0


def test_a_run_that_another_process_took_first_is_waited_for(runs: list[Run], tmp_path: Path) -> None:
    store, run = Store(tmp_path / "out"), runs[0]
    Pretender.fates["train", "mamba2"] = JobState.BUSY
    planner, notes = scheduler([run], tmp_path / "out", evaluate=False)
    planner.submit()
    folder = store.find(run)
    assert folder is not None
    with folder.locked():
        planner._collect()
        planner.submit()
        assert notes.lines(EventKind.WAITING) == ["mamba2: done"] and not planner.active and planner.unfinished
    finish(Job(run, folder, JobKind.TRAIN))
    assert not planner.run() and len(Pretender.batches) == 1
    assert notes.lines(EventKind.TRAINED) == ["mamba2: finished"]


def test_detached_jobs_are_submitted_at_once_and_found_again(runs: list[Run], tmp_path: Path) -> None:
    Pretender.fates.update({("train", run.cell): JobState.QUEUED for run in runs})
    Pretender.fates.update({("evaluate", run.cell): JobState.QUEUED for run in runs})
    first, notes = scheduler(runs, tmp_path / "out", DetachedPretender)
    first.submit()
    training, evaluation = Pretender.batches
    assert [job.after for job in training] == [None] * 3
    assert [job.after for job in evaluation] == ["1_0", "1_1", "1_2"]
    assert len(notes.lines(EventKind.SUBMITTED)) == 6 and first.unfinished
    folder = Store(tmp_path / "out").find(runs[1])
    assert folder is not None
    trained = read_job("detachedpretender", folder, JobKind.TRAIN)
    asked = read_job("detachedpretender", folder, JobKind.EVALUATE)
    assert trained is not None and trained.id == "1_1" and asked is not None and asked.id == "2_1"
    second, notes = scheduler(runs, tmp_path / "out", DetachedPretender, evaluate=False)
    second.submit()
    assert set(second.active) == {"1_0", "1_1", "1_2", "2_0", "2_1", "2_2"} and len(Pretender.batches) == 2
    assert second.cancel() == 6
    third, _ = scheduler(runs, tmp_path / "out", DetachedPretender)
    assert not third.active and len(third.needed()) == 6


def test_a_failed_training_takes_its_evaluation_with_it(runs: list[Run], tmp_path: Path) -> None:
    """Also where the call that watches does not ask for an evaluation itself."""
    Pretender.fates.update({("train", "mamba2"): JobState.FAILED, ("evaluate", "mamba2"): JobState.QUEUED})
    first, _ = scheduler(runs[:1], tmp_path / "out", DetachedPretender)
    first.submit()
    watcher, notes = scheduler(runs[:1], tmp_path / "out", DetachedPretender, evaluate=False, retry=False)
    assert not watcher.run()
    assert notes.lines(EventKind.TRAINED) == ["mamba2: failed"] and not notes.lines(EventKind.EVALUATED)
    assert Pretender.fates["evaluate", "mamba2"] is JobState.KILLED


def test_a_run_of_two_studies_is_asked_what_both_ask(tmp_path: Path) -> None:
    studies = []
    for name, tasks in (("one", "[piqa, boolq]"), ("other", "[boolq, arc_easy]"), ("neither", None)):
        text = small.STUDY.replace("hgrn2", "lightnet" if name == "other" else "hgrn2")
        asked = f"evaluate: {tasks}\n" if tasks else ""
        studies.append(expand(read_study(str(small.write_study(tmp_path, text + asked, name)))))
    cells = {run.hash: run.cell for study in studies for run in study.runs()}
    both = {"mamba2": "piqa,boolq,arc_easy", "gla": "piqa,boolq,arc_easy"}
    found = {cells[key]: tasks for key, tasks in tasks_of_runs(studies, always=False).items()}
    assert found == {**both, "hgrn2": "piqa,boolq", "lightnet": "boolq,arc_easy"}

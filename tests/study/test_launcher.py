"""Launchers by name and by import path, and what the scheduler makes of them."""

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from decaystudy.errors import UserError
from decaystudy.io import write_json
from decaystudy.runs.evaluation import EvaluationFolder, TaskResult, Validation
from decaystudy.runs.memory import memory_bytes
from decaystudy.study.definition.expand import Run, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.definition.several import expand_all
from decaystudy.study.execution.cluster_job import ClusterJob
from decaystudy.study.execution.job_file import read_job
from decaystudy.study.execution.jobs import ActiveJob
from decaystudy.study.execution.launcher import (
    ExecutionOptions,
    Job,
    JobKind,
    JobReport,
    JobState,
    Launcher,
    Resources,
    open_launcher,
)
from decaystudy.study.execution.local import LocalLauncher
from decaystudy.study.execution.progress import Event, EventKind
from decaystudy.study.execution.scheduler import Scheduler
from decaystudy.study.execution.sharing import runs_that_share
from decaystudy.study.execution.slurm import SlurmLauncher
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.tasks import tasks_of_runs
from decaystudy.study.run import StudyRequest, run_study
from tests.study import small
from tests.study.planted import plant

OWN = '''\
"""Runs each job in a subprocess, and counts."""

import subprocess

from decaystudy.study.execution.launcher import JobReport, JobState, Launcher


class Counting(Launcher):
    def __init__(self, options, notes, most=1):
        super().__init__(options)
        self.notes, self.most, self.processes = notes, most, {}

    def next_batch(self, waiting):
        return waiting[: self.most - sum(process.poll() is None for process in self.processes.values())]

    def submit(self, jobs):
        ids = []
        for job in jobs:
            ids.append(str(len(self.processes)))
            self.processes[ids[-1]] = subprocess.Popen(job.command(die_with_parent=True))
            with open(self.notes, "a") as file:
                file.write(f"{job.kind} {job.run.name}\\n")
        return ids

    def poll(self, ids):
        codes = {id: self.processes[id].poll() for id in ids}
        return {
            id: JobReport(JobState.RUNNING if code is None else JobState.of_exit_code(code))
            for id, code in codes.items()
        }

    def cancel(self, ids):
        for id in ids:
            self.processes[id].kill()
'''
TASKS = "offline_last_word"


class Pretender(Launcher):
    """Jobs that end at once as ``fates`` says by kind and cell; what is done is written where a worker would have."""

    fates: ClassVar[dict[tuple[str, str], JobState]] = {}
    batches: ClassVar[list[list[Job]]] = []

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        self.batches.append(list(jobs))
        ids = [f"{len(self.batches)}_{task}" for task in range(len(jobs))]
        for job in jobs:
            if self.fate(job) is JobState.DONE:
                finish(job)
        return ids

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobReport]:
        found = {}
        for id in ids:
            batch, task = id.split("_")
            state = self.fate(self.batches[int(batch) - 1][int(task)])
            found[id] = JobReport(state, "as it was to be" if state is JobState.KILLED else "")
        return found

    def cancel(self, ids: Sequence[str]) -> None:
        for id in ids:
            batch, task = id.split("_")
            job = self.batches[int(batch) - 1][int(task)]
            self.fates[job.kind, job.run.cell] = JobState.KILLED

    def wait(self, seconds: float) -> None:
        pass

    def fate(self, job: Job) -> JobState:
        return self.fates.get((job.kind, job.run.cell), JobState.DONE)


class DetachedPretender(Pretender):
    detached = True


class Notes:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def tick(self, active: Sequence[ActiveJob]) -> None:
        pass

    def lines(self, kind: EventKind) -> list[str]:
        return [
            f"{event.run.cell}: {event.state or event.failure or 'done'}" for event in self.events if event.kind is kind
        ]


def finish(job: Job) -> None:
    """Leave behind what a job that ends well does."""
    folder = job.folder
    if job.kind is JobKind.TRAIN:
        write_json(folder.result, {"status": "finished", "val_loss": 1.0, "identity": job.run.hash})
        folder.weights.write_bytes(b"weights")
        folder.write_status("finished")
        return
    place = EvaluationFolder(folder.path)
    from decaystudy.evaluation.evaluate import data_of

    rows = {name: TaskResult(samples=4, data=data_of(name), metrics={"acc": 0.5}) for name in job.tasks.split(",")}
    place.write(dataclasses.replace(place.start(), validation=Validation(loss=1.0, perplexity=2.7), tasks=rows))


@pytest.fixture(autouse=True)
def as_new() -> None:
    Pretender.fates.clear()
    Pretender.batches.clear()


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return expand(read_study(str(small.write_study(tmp_path / "file")))).runs()


def scheduler(
    runs: Sequence[Run], out: Path, kind: type[Launcher] = Pretender, *, evaluate: bool = True, retry: bool = True
) -> tuple[Scheduler, Notes]:
    notes, tasks = Notes(), {run.hash: TASKS for run in runs} if evaluate else {}
    made = Scheduler(runs, Store(out), kind(ExecutionOptions()), notes, tasks, retry=retry, settle_seconds=0.1)
    return made, notes


def kinds(jobs: Sequence[Job]) -> list[str]:
    return [f"{job.kind} {job.run.cell}" for job in jobs]


@pytest.mark.slow
def test_a_launcher_of_ones_own_runs_a_study_to_its_end(tmp_path: Path) -> None:
    text = small.STUDY.replace("  sequence_length: 64\n", "").replace("[mamba2, gla, hgrn2]", "[mamba2, gla]")
    file = small.write_study(tmp_path / "file", text)
    (tmp_path / "file" / "mine.py").write_text(OWN)
    own = ["--launcher", "mine.Counting", "--launcher_options.notes", str(tmp_path / "notes")]
    call = [str(file), "--out", str(tmp_path / "out"), *own, "--data.sequence_length", "128", "--evaluate"]
    said = small.run(*call, "--launcher_options.most", "2")
    notes = (tmp_path / "notes").read_text().splitlines()
    assert sorted(notes[:2]) == ["train gla-seed0", "train mamba2-seed0"]
    assert sorted(notes[2:]) == ["evaluate gla-seed0", "evaluate mamba2-seed0"]
    assert said.count("finished in") == said.count("evaluated in") == 2
    found = small.results(tmp_path / "out")
    assert found["complete"] and found["tasks"] == ["offline_last_word", "offline_continuation"]
    assert "started" not in small.run(*call)
    assert len((tmp_path / "notes").read_text().splitlines()) == 4


class Forgetful(Pretender):
    def __init__(self, options: ExecutionOptions) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"launcher": "lokal"}, "unknown launcher 'lokal': did you mean 'local'"),
        ({"launcher": "nothing.Here"}, "cannot import the launcher 'nothing.Here'"),
        ({"launcher": "builtins.repr"}, "it makes text; derive it from"),
        ({"launcher": "sys.path"}, "it is a list; give a class or a function"),
        ({"launcher": "decaystudy.study.execution.launcher.Launcher"}, "it lacks cancel, poll, submit"),
        ({"launcher": "tests.study.test_launcher.Forgetful"}, r"must call super\(\).__init__\(options\)"),
        ({"launcher": "local", "launcher_options": {"quue": "a"}}, "doesn't take these --launcher_options: .*'quue'"),
    ],
)
def test_no_launcher(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_launcher(ExecutionOptions(**options))  # type: ignore[arg-type]


def test_launchers_by_name() -> None:
    assert isinstance(open_launcher(ExecutionOptions()), LocalLauncher)
    assert isinstance(open_launcher(ExecutionOptions(launcher="slurm")), SlurmLauncher)
    assert open_launcher(ExecutionOptions(launcher="slurm")).name == "slurm"


def test_the_command_of_a_job(runs: list[Run], tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    alone = Job(runs[0], store.place(runs[0]), JobKind.TRAIN)
    command = alone.command()
    assert command[1:5] == ["-m", "decaystudy.study.execution.worker", "train", str(alone.folder.path)]
    assert json.loads(command[-1]) == {"trainer": {"devices": 1, "num_nodes": 1}}
    many = Job(runs[0], store.place(runs[0]), JobKind.TRAIN, resources=Resources(devices=4, nodes=2))
    assert many.layout == {"trainer": {"devices": 4, "num_nodes": 2}, "strategy": "ddp"}
    asks = Job(runs[0], store.place(runs[0]), JobKind.EVALUATE, TASKS)
    assert asks.command(die_with_parent=True)[-3:] == ["--tasks", TASKS, "--die-with-parent"]


def test_exit_codes() -> None:
    codes = {0: "done", 3: "done", 1: "failed", 2: "failed", 4: "failed", 75: "busy", -9: "killed"}
    assert {code: str(JobState.of_exit_code(code)) for code in codes} == codes


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
    options = ExecutionOptions(launcher=f"tests.study.test_launcher.{launcher}")
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


def jobs_of(runs: Sequence[Run], launcher: Launcher, kind: JobKind, after: Sequence[str | None]) -> list[Job]:
    store = Store("nowhere")
    return [
        Job(run, store.place(run), kind, TASKS, launcher.resources(run, kind), each)
        for run, each in zip(runs, after, strict=True)
    ]


def test_arrays_hold_what_needs_the_same_and_no_more_than_the_cluster_takes(runs: list[Run]) -> None:
    launcher = SlurmLauncher(ExecutionOptions(launcher="slurm", devices=2), max_array_size=2)
    training = jobs_of(runs, launcher, JobKind.TRAIN, [None] * 3)
    assert launcher.next_batch(training) == training[:2]
    evaluation = jobs_of(runs, launcher, JobKind.EVALUATE, ["7_0", "7_1", "8"])
    assert launcher.next_batch([training[2], *evaluation]) == training[2:]
    assert launcher.next_batch(evaluation) == evaluation[:2]
    assert launcher.next_batch(evaluation[2:]) == evaluation[2:]
    # Task by task an array can only follow the first tasks of another.
    assert launcher.next_batch(evaluation[1:]) == evaluation[1:2]
    assert launcher.next_batch([]) == []


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("poll", "return None", "its poll gives nothing; give a JobReport for each id"),
        ("poll", "return {}", "its poll gives nothing for the job '1_0'"),
        ("poll", "return dict.fromkeys(ids, 'running')", "its poll gives text for the job '1_0'"),
        ("submit", "return None", "its submit gives nothing; give a text for each job"),
        ("submit", "return ['1', '2', '3', '4']", "its submit gives 4 for 3 jobs"),
        ("submit", "return [1, 2, 3]", "its submit gives 3 for 3 jobs; give a text for each job"),
    ],
)
def test_a_launcher_that_talks_nonsense(
    method: str, body: str, words: str, runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope: dict[str, object] = {}
    exec(f"def said(self, {'ids' if method == 'poll' else 'jobs'}): {body}", scope)
    monkeypatch.setattr(Pretender, method, scope["said"])
    monkeypatch.setattr(Pretender, "batches", [])
    monkeypatch.setattr(Pretender, "cancel", lambda self, ids: None)
    if method == "poll":
        monkeypatch.setattr(Pretender, "submit", lambda self, jobs: [f"1_{task}" for task in range(len(jobs))])
    scheduler = Scheduler(runs, Store(tmp_path / "out"), Pretender(ExecutionOptions()), Notes())
    with pytest.raises(UserError, match=re.escape(words)):
        scheduler.run()


def test_gpus_are_dealt_out_and_given_back(runs: list[Run], tmp_path: Path) -> None:
    launcher = LocalLauncher(ExecutionOptions(devices=2), gpus=["0", "1", "2"])
    training = jobs_of(runs, launcher, JobKind.TRAIN, [None] * 3)
    assert launcher.at_once(runs) == 1 and launcher.on_gpu(runs)
    assert launcher.next_batch(training) == training[:1]
    with pytest.raises(UserError, match="--devices 2: this machine has 1 GPUs; ask for fewer"):
        LocalLauncher(ExecutionOptions(devices=2), gpus=["0"]).check(runs)
    with pytest.raises(UserError, match="ask for --jobs 1"):
        LocalLauncher(ExecutionOptions(devices=2, jobs=2), gpus=["0", "1", "2"]).check(runs)
    store = Store(tmp_path / "out")
    for run in runs:
        store.claim(run)
    training = [replace(job, folder=store.place(job.run)) for job in training]
    (first,) = launcher.submit(training[:1])
    assert visible_gpus() == ["0,1"] and launcher.next_batch(training[1:]) == []
    asks = replace(training[1], kind=JobKind.EVALUATE, tasks=TASKS, resources=Resources())
    assert launcher.next_batch([training[1], asks]) == [asks], "one GPU is free"
    (second,) = launcher.submit([asks])
    assert visible_gpus() == ["0,1", "2"]
    assert {report.state for report in launcher.poll([first, second]).values()} == {JobState.RUNNING}
    launcher.cancel([first])
    assert visible_gpus() == ["2"] and launcher.next_batch(training[1:]) == training[1:2]
    launcher.close()
    assert visible_gpus() == []


def test_small_runs_share_a_gpu(runs: list[Run], tmp_path: Path) -> None:
    launcher = LocalLauncher(ExecutionOptions(runs_per_gpu=2), gpus=["4"])
    training = jobs_of(runs, launcher, JobKind.TRAIN, [None] * 3)
    assert launcher.at_once(runs) == 2
    with pytest.raises(UserError, match=r"needs 2 GPUs at 2 runs each .* ask for --jobs 2, or give --runs-per-gpu 3"):
        LocalLauncher(ExecutionOptions(jobs=3, runs_per_gpu=2), gpus=["4"]).check(runs)
    with pytest.raises(UserError, match="only runs on one GPU share it"):
        ExecutionOptions(devices=2, runs_per_gpu=2)
    store = Store(tmp_path / "out")
    for run in runs:
        store.claim(run)
    training = [replace(job, folder=store.place(job.run)) for job in training]
    assert launcher.next_batch(training) == training[:1]
    (first,) = launcher.submit(training[:1])
    assert launcher.next_batch(training[1:]) == training[1:2]
    launcher.submit(training[1:2])
    assert launcher.next_batch(training[2:]) == []
    launcher.cancel([first])
    assert launcher.next_batch(training[2:]) == training[2:]
    launcher.close()


def test_how_many_runs_share_a_gpu(runs: list[Run]) -> None:
    config = runs[0].config
    assert runs_that_share(config, None, 64) == 6
    assert runs_that_share(config, 2 * memory_bytes(config), 64) == 2
    assert runs_that_share(config, 1, 64) == 1
    assert runs_that_share(config, None, 8) == 4
    assert runs_that_share(config, None, 1) == 1
    large = expand_all(["sharing"], scale="160m")[0].runs()[0].config
    assert runs_that_share(large, None, 64) == 1


def visible_gpus() -> list[str]:
    """The GPUs that each child of this process was given."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = [Path(f"/proc/{child}/environ").read_text().split("\0") for child in children]
    gpus = [line.partition("=")[2] for lines in found for line in lines if line.startswith("CUDA_VISIBLE_DEVICES=")]
    return sorted(gpu for gpu in gpus if gpu)


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


def test_a_job_that_saves_nothing_is_not_requeued_for_ever(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    job = ClusterJob(JobKind.TRAIN, str(tmp_path), {}, "", limit=10)
    job.began = time.time() - 60
    assert job.checkpoint().function is job, "preempted early"
    job.began = time.time() - 510
    with pytest.raises(UserError, match=r"time limit of 10 minutes: raise --slurm\.time"):
        job.checkpoint()
    (tmp_path / "checkpoints" / "step=5.ckpt").touch()
    assert job.checkpoint().function is job


def test_the_log_of_a_cluster_job_that_never_reached_its_run(runs: list[Run], tmp_path: Path) -> None:
    """SLURM's own log tells why; the run's log does, once the job has written to it."""
    launcher = SlurmLauncher(ExecutionOptions(launcher="slurm"))
    folder = Store(tmp_path).claim(runs[0])
    job = Job(runs[0], folder, JobKind.TRAIN)
    folder.log.write_text("an earlier attempt\n")
    os.utime(folder.log, (1, 1))
    (tmp_path / "store" / ".slurm").mkdir()
    (tmp_path / "store" / ".slurm" / "12_submission.sh").touch()
    (tmp_path / "store" / ".slurm" / "12_3_0_log.err").write_text("python: not found\n")
    assert launcher.logs(job, "12_3") == "python: not found\n"
    folder.log.write_text("this attempt\n")
    assert launcher.logs(job, "12_3") == "this attempt"

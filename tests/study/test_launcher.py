"""Launchers of one's own, by name, and what each must say."""

import json
import re
from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.launcher import (
    ExecutionOptions,
    Job,
    JobKind,
    JobState,
    Resources,
    open_launcher,
)
from decaystudy.study.execution.local import LocalLauncher
from decaystudy.study.execution.scheduler import Scheduler
from decaystudy.study.execution.slurm import SlurmLauncher
from decaystudy.study.execution.store import Store
from tests.study import small
from tests.study.pretending import TASKS, Notes, Pretender

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

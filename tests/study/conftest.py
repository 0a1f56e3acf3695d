"""Runs of a small study for the launchers, and one that has ended for what is shared of it."""

import getpass
import shutil
from pathlib import Path

import pytest

from decaystudy.study.definition.expand import Run, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study import small
from tests.study.bundled import HOSTS, STUDY, call, end
from tests.study.planted import plant, write_answers
from tests.study.pretending import Pretender


@pytest.fixture(autouse=True)
def as_new() -> None:
    Pretender.fates.clear()
    Pretender.batches.clear()


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return expand(read_study(str(small.write_study(tmp_path / "file")))).runs()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``ended`` is a copy of."""
    folder = tmp_path_factory.mktemp("made")
    file, out = small.write_study(folder / "file", STUDY), folder / "out"
    study, store = expand(read_study(str(file))), Store(out)
    plant(study, store, {"gla": 0.05}, decays={"gla": [0.5, 0.6, 0.7]})
    for number, run in enumerate(study.runs()):
        place = store.find(run)
        assert place is not None
        write_answers(place, {"piqa": 0.6, "arc_easy": 0.7 if run.cell == "gla" else 0.5}, number)
    call("run-study", file, "--out", out)
    *_, missing, last = study.runs()
    end(last, store, f"FileNotFoundError: {folder}/text/a.txt on {HOSTS[0]} ({HOSTS[2]}) by {getpass.getuser()}")
    gone = store.find(missing)
    assert gone is not None
    store.remove(gone)
    call("report", "--out", out)
    return folder


@pytest.fixture
def ended(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A study with answers, whose last run failed and whose last but one was taken away; its folder."""
    shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)
    plan = tmp_path / "out/small/plan.json"
    plan.write_text(plan.read_text().replace(str(made), str(tmp_path)))
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def bundled(ended: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The same as a bundle, without the runs and the study's file."""
    call("bundle", "small", "--out", ended / "out", "-o", ended / "small.bundle")
    assert "small at tiny: 9 runs, 1 failed, 7 finished, 1 planned" in capsys.readouterr().out
    shutil.rmtree(ended / "file")
    (ended / "out").rename(ended / "away")
    return ended / "small.bundle"

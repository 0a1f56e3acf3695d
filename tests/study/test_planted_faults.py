"""Broken files in a store: every verb that reads them says which, or shows the run as failed, or mends it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.planting import contents, few, plant, said
from tests.study import small
from tests.study.planted import plant as plant_runs
from tests.study.planted import write_answers

Kinds = Callable[[Path], dict[str, bytes | None]]
OF_A_RUN = ["config.yaml", "status.json", "result.json", "origin.json", "lock", "lease-1.json", "slurm_job.json"]
OF_A_RUN += ["evaluation.json", "evaluation/piqa.npz", "validation_loss.npy", "validation_documents.npz", "log.txt"]
OF_A_STUDY = ["plan.json", "results.json"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of three cells with answers; its folder."""
    folder = tmp_path_factory.mktemp("finished")
    file = small.write_study(folder / "file")
    study, store = expand(read_study(str(file))), Store(folder / "out")
    plant_runs(study, store, {"gla": 0.05})
    for number, run in enumerate(study.runs()):
        run_folder = store.claim(run)
        write_answers(run_folder, {"piqa": 0.6}, number)
        (run_folder.path / "origin.json").write_text('{"version": {}, "code": {}, "data": {}, "identity": ""}')
        (run_folder.path / "lease-1.json").write_text('{"host": "elsewhere", "pid": 1, "time": 1.0}')
        (run_folder.path / "slurm_job.json").write_text('{"id": "1", "submitted": 1.0}')
        for name in ("lock", "log.txt"):
            (run_folder.path / name).write_text("log")
    assert main(["run-study", str(file), "--out", str(folder / "out")]) == 0
    return folder


def verbs(folder: Path) -> list[list[object]]:
    out = ["--out", folder / "out"]
    study = ["run-study", folder / "file/small.yaml", *out]
    return [["status", "--watch", "false", *out], ["report", *out], ["clean", "--yes", *out], [*study, "--dry-run"]]


@pytest.mark.parametrize("kinds", [few, pytest.param(contents, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [*OF_A_RUN, *OF_A_STUDY])
def test_a_broken_file_is_named_or_mended(
    finished: Path, tmp_path: Path, name: str, kinds: Kinds, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished / "file", folder / "file")
    shutil.copytree(finished / "out", folder / "out", symlinks=True)
    # The plan names the study's file, which must be the one that is there.
    plan = folder / "out/small/plan.json"
    plan.write_text(plan.read_text().replace(str(finished / "file"), str(folder / "file")))
    where = folder / "out/small" if name in OF_A_STUDY else next((folder / "out/store").glob("gla-*"))
    file, held = where / name, (where / name).read_bytes()
    for kind, content in kinds(file).items():
        for words in verbs(folder)[: None if kind in ("a folder", "cut", "all nulls") else 1]:
            plant(file, content)
            said(capsys, *words, names=file, codes=(0, 1, 2))
            plant(file, held)
    assert len(list((folder / "out/store").glob("*-seed0-*"))) == 3, "clean has removed a run that is needed"


@pytest.mark.parametrize("name", ["status.json", "log.txt", "lease-1.json", "origin.json"])
def test_what_results_do_not_rest_on_changes_none(finished: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(finished / "out", tmp_path / "out", symlinks=True)
    before = small.results(tmp_path / "out")
    for file in (tmp_path / "out/store").glob(f"*/{name}"):
        file.write_bytes(b"\xff{")
    assert main(["report", "--out", str(tmp_path / "out")]) == 0
    assert small.results(tmp_path / "out") == before


def test_a_plan_of_another_study_is_refused(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(finished / "out", tmp_path / "out", symlinks=True)
    (tmp_path / "out/small").rename(tmp_path / "out/large")
    assert said(capsys, "report", "--out", tmp_path / "out", names=tmp_path / "out/large/plan.json") == 2
    assert not (tmp_path / "out/small").exists()

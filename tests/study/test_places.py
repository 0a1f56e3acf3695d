"""Places that are taken, gone or another's: nothing is lost, and the sentence names the place."""

import json
import shutil
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study import small
from tests.study.planted import plant
from tests.training import small as small_run

FILE = "is a file where a folder should be: move it away, or choose another --out"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose runs have finished, and its report."""
    root = tmp_path_factory.mktemp("places")
    file = small.write_study(root)
    plant(expand(read_study(str(file))), Store(root / "out"), {"gla": 0.05})
    assert main(["run-study", str(file), "--out", str(root / "out"), "--report", "false"]) == 0
    return root


@pytest.fixture
def finished(reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; its --out, in the working folder."""
    shutil.copytree(reported, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return Path("out")


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    text = capsys.readouterr().err
    assert text.startswith("decaystudy: ") and text.count("\n") == 1, text
    return text


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("place", ["store", "store/.names", "small/runs", "small/figures", "small", "."])
@pytest.mark.parametrize("verb", ["run-study", "report"])
def test_a_file_in_the_place_of_a_folder(
    verb: str, place: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = finished / place
    shutil.rmtree(taken, ignore_errors=True)
    taken.write_text("something else", encoding="utf-8")
    before = contents(Path())
    text = said(capsys, verb, "small.yaml", "--out", finished)
    if verb == "run-study" or place not in ("small", "."):
        assert f"{taken} {FILE}" in text
    assert contents(Path()) == before, "no results are replaced"


def test_a_file_in_the_place_of_a_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(path for path in (finished / "store").iterdir() if path.name.startswith("gla"))
    shutil.rmtree(run)
    run.write_text("something else", encoding="utf-8")
    assert main(["run-study", "small.yaml", "--out", str(finished)]) == 1
    assert f"{run} {FILE}" in capsys.readouterr().err
    assert run.read_text(encoding="utf-8") == "something else"


def test_results_outlive_their_runs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(finished / "store")
    before = (finished / "small/results.json").read_bytes()
    assert main(["report", "small", "--out", str(finished)]) == 0
    assert f"the runs of small are gone from {finished / 'store'}" in capsys.readouterr().out
    assert (finished / "small/results.json").read_bytes() == before
    lost = said(capsys, "bundle", "small", "--out", finished, "-o", finished / "small.bundle")
    assert "the runs of small are gone from" in lost and "where the study was run" in lost
    assert not (finished / "small.bundle").exists(), "a bundle that knows of no run"


def test_clean_removes_nothing_where_a_plan_is_missing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "small/plan.json").unlink()
    before = contents(finished)
    assert f"{finished / 'small'} has results and no plan.json" in said(capsys, "clean", "--yes", "--out", finished)
    assert contents(finished) == before
    shutil.rmtree(finished / "small")
    assert main(["clean", "--yes", "--out", str(finished)]) == 0
    assert "removed 3 runs" in capsys.readouterr().out


def test_a_study_that_was_not_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(path for path in (finished / "store").iterdir() if path.name.startswith("gla"))
    assert "no study 'other' has been run in out: choose from small" in said(capsys, "report", "other", "--out", "out")
    assert f"no study {run.name!r} has been run in out: choose from small" in said(
        capsys, "status", run, "--out", "out"
    )
    again = "run it with decaystudy run-study sharing --out out"
    assert again in said(capsys, "status", "sharing", "--out", "out")
    assert "give the folder of the runs with --out" in said(capsys, "report", "small", "--out", "empty")
    (finished / "small").rename(finished / "renamed")
    assert "is the plan of 'small': rename its folder back" in said(capsys, "status", "--out", "out")


def test_runs_and_studies_in_each_others_folders(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(finished)
    for place in (finished, finished / "store"):
        text = said(capsys, "fit", *small_run.SETTINGS, "--out", place)
        assert f"{place} holds the runs of studies: give this one a folder of its own" in text
    run = next(path for path in (finished / "store").iterdir() if path.name.startswith("gla"))
    assert f"{run} is a run's folder: choose another --out" in said(capsys, "run-study", "small.yaml", "--out", run)
    assert contents(finished) == before


def test_what_is_no_results(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(path for path in (finished / "store").iterdir() if path.name.startswith("gla"))
    other = "is not a study's results: give a study's folder, or its results.json"
    assert f"{run / 'result.json'} {other}" in said(capsys, "compare", run / "result.json", finished / "small")
    assert f"plan.json {other}" in said(capsys, "compare", finished / "small", finished / "small/plan.json")
    Path("list.json").write_text(json.dumps([1]), encoding="utf-8")
    assert "list.json was cut short or is no JSON object" in said(capsys, "compare", "list.json", "out/small")
    rates = ["run-study", "small.yaml", "--dry-run", "--rates-from"]
    assert "small.yaml was cut short or is no JSON object: name" in said(capsys, *rates, "small.yaml")
    assert "none.json does not exist: name" in said(capsys, *rates, "none.json")


def test_bundles_are_written_below_another_folder_than_a_file(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "small", "--out", "out"]) == 0
    says = "small.yaml is a file where a folder should be: move it away, or choose another --write"
    assert says in said(capsys, "rejudge", "small.bundle", "--write", "small.yaml")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--dry-run --cancel", "--dry-run and --cancel are given together"),
        ("--attach --cancel", "--attach and --cancel are given together"),
        ("--devices 3", "recipe.global_batch_size 4 cannot be split over 3 devices"),
        ("--devices 3 --dry-run", "recipe.global_batch_size 4 cannot be split over 3 devices"),
        ("--devices 3 --launcher slurm", "recipe.global_batch_size 4 cannot be split over 3 devices"),
        ("--seeds 4-0", "seeds '4-0' count down: write the smaller first, as 0-4"),
        ("--seeds 0-99999999", "are 100,000,000 seeds: give at most 10,000"),
        ("--launcher slurm --slurm.memory lots --dry-run", "--slurm.memory is 'lots': give a number with a unit"),
        ("--launcher os.getcwd", "--launcher os.getcwd is not made from ExecutionOptions alone"),
        ("--model.layers 2", "a study's cells set their model: write layers in the study's file, below settings"),
        ("--trainer.precision 3", "unknown trainer.precision '3'"),
        ("--trainer.max_steps zero", "(given to every cell, by a flag or by --config)"),
    ],
)
def test_calls_that_no_run_can_follow(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = small.write_study(tmp_path / "file")
    text = said(capsys, "run-study", file, "--out", tmp_path / "new", *words.split())
    assert says in text and "small.yaml:" not in text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("memory", ["64GB", "64G", "512", "1.5T", "100 MiB"])
def test_memory_as_slurm_reads_it(memory: str, tmp_path: Path) -> None:
    words = ["--launcher", "slurm", "--slurm.memory", memory, "--dry-run", "--out", str(tmp_path / "out")]
    assert main(["run-study", str(small.write_study(tmp_path)), *words]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (small.STUDY.replace("title: A small study", "title: 3"), ":1: title is 3: give a sentence"),
        (small.STUDY.replace("question: Does the decay matter?", "question: {a: b}"), ":2: question is {a: 'b'}: give"),
        (small.STUDY.replace("layers: 2", "accelerator: cpu"), "did you mean 'trainer.accelerator'?"),
        (small.STUDY.replace("[mamba2, gla, hgrn2]", "[]"), "grid.decay is []: give a list of levels"),
        (small.STUDY.replace("seeds: [0]", "seeds: 5-2"), ":4: seeds '5-2' count down"),
    ],
)
def test_mistakes_of_a_study_file(text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in said(capsys, "run-study", small.write_study(tmp_path, text), "--dry-run", "--out", tmp_path)


def test_levels_are_left_out_by_their_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = small.STUDY.split("baseline")[0].replace("axis: decay", "axis: p\nsettings: {decay: simple}\n")
    text += (
        "grid:\n  p: [0.9, 0.99]\n  layers: [1, 2]\n  except: [{p: 0.90, layers: 2}, {p: p-0.99, layers: layers-1}]\n"
    )
    file = small.write_study(tmp_path, text)
    assert main(["run-study", str(file), "--dry-run", "--json", "--out", str(tmp_path)]) == 0
    cells = {run["cell"] for run in json.loads(capsys.readouterr().out)["runs"]}
    assert cells == {"p-0.9-layers-1", "p-0.99-layers-2"}


@pytest.mark.slow
def test_tasks_that_nobody_knows_are_refused_in_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = small.write_study(tmp_path, small.STUDY + "evaluate: [nosuchtask]\n")
    assert "unknown task 'nosuchtask'" in said(capsys, "run-study", file, "--dry-run", "--out", tmp_path)


@pytest.mark.parametrize("verb", ["run-study", "report"])
@pytest.mark.parametrize("name", ["results.csv", "report.html", "report.tex", "results.md"])
def test_a_folder_of_someone_else_in_the_place_of_a_studys(
    verb: str, name: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(finished / "small")
    (finished / "small").mkdir()
    (finished / "small" / name).write_text("mine")
    before = contents(Path())
    text = said(capsys, verb, "small.yaml" if verb == "run-study" else "small", "--out", finished)
    assert verb == "report" or f"{finished / 'small' / name} would be overwritten, and is no study's" in text
    assert contents(Path()) == before


def test_a_report_leaves_figures_of_someone_else(finished: Path) -> None:
    for figure in ("mine.svg", "losses-edited.pdf", "tuning.svg"):
        (finished / "small" / "figures").mkdir(exist_ok=True)
        (finished / "small" / "figures" / figure).write_text("drawn")
    assert main(["report", "small", "--out", str(finished)]) == 0
    names = {path.name for path in (finished / "small" / "figures").iterdir()}
    assert names > {"mine.svg", "losses-edited.pdf"} and "tuning.svg" not in names, "one that the study no longer has"


@pytest.mark.parametrize("place", ["store", "small", "small/runs"])
def test_a_link_to_nothing_in_the_place_of_a_folder(
    place: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(finished / place)
    (finished / place).symlink_to("nowhere")
    text = said(capsys, "run-study", "small.yaml", "--out", finished)
    assert f"{finished / place} is a link to nothing where a folder should be: move it away" in text


def test_a_link_to_nothing_in_the_place_of_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to("nowhere")
    assert f"{tmp_path / 'run' / 'checkpoints'} is a link to nothing" in said(capsys, "fit", "--out", tmp_path / "run")


def test_a_copy_whose_links_were_followed_is_reported_as_it_is(finished: Path, tmp_path: Path) -> None:
    """As ``cp -rL`` or a zip file makes it."""
    shutil.copytree(finished, tmp_path / "followed", symlinks=False)
    before = contents(tmp_path / "followed" / "small" / "runs")
    for words in (["report", "small"], ["run-study", "small.yaml"]):
        assert main([*words, "--out", str(tmp_path / "followed")]) == 0
    assert contents(tmp_path / "followed" / "small" / "runs") == before and before

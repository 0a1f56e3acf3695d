"""A run is known by what it was when it began: it resumes from elsewhere, and where today its identity is another."""

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from decaystudy.io import write_json
from decaystudy.runs.folder import RunFolder
from decaystudy.training import resuming
from decaystudy.training.sharded import ShardedStrategy
from tests.training import small

TEXTS = ("--data.source", "files", "--data.files", "texts", "--data.tokenizer", "bpe:300")


def write_texts(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(60):
        (folder / f"{i:02}.txt").write_text(f"Text number {i}. " + "A line that is said again and again. " * (40 + i))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts, and a run on them in ``run`` that was stopped at step 7."""
    folder = tmp_path_factory.mktemp("home")
    write_texts(folder / "texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.at_step(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert small.fit(folder / "run", *TEXTS) == 143
    assert small.saved(folder / "run") == ["step=4.ckpt", "step=7.ckpt"]
    return folder


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert small.fit(home / "undisturbed", *TEXTS) == 0
    return small.numbers(home / "undisturbed")


def identity(file: Path) -> str:
    return str(json.loads(file.read_text(encoding="utf-8"))["identity"])


@pytest.fixture
def moved(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project in another folder, which is the working directory."""
    target = shutil.copytree(home, tmp_path / "moved")
    monkeypatch.chdir(target)
    return target


def test_a_project_that_was_moved_resumes(
    home: Path, moved: Path, undisturbed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    before = identity(moved / "run/origin.json")
    assert small.fit(moved / "run", *TEXTS) == 0
    assert "another run" not in caplog.text
    assert small.numbers(moved / "run") == undisturbed
    assert identity(moved / "run/origin.json") == identity(moved / "run/result.json") == before
    assert identity(moved / "run/origin.json") == identity(home / "undisturbed/origin.json")
    assert small.fit(moved / "run", *TEXTS) == 0, "it is found finished"


def test_text_in_another_place_is_another_setting(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path is compared in full, so that two texts of one name are not confused."""
    run = shutil.copytree(home / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    saved = small.saved(run)
    other = [word if word != "texts" else str(home / "texts") for word in TEXTS]
    assert small.fit(run, *other) == 2
    assert "data.files is" in capsys.readouterr().err and small.saved(run) == saved


def test_a_comment_in_the_settings_of_a_project_that_was_moved(
    moved: Path, undisturbed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do line ends, the order of settings, and those that change no result."""
    lines = (
        (moved / "run/config.yaml").read_text(encoding="utf-8").replace("micro_batch_size: 32", "micro_batch_size: 4")
    )
    seed = next(line for line in lines.splitlines() if line.startswith("seed: "))
    changed = f"# mine\n{lines.replace(seed + chr(10), '')}{seed}\n"
    (moved / "run/config.yaml").write_bytes(changed.replace("\n", "\r\n").encode())
    assert small.fit(moved / "run", *TEXTS) == 0
    assert "another run" not in caplog.text and "set aside" not in caplog.text
    assert small.numbers(moved / "run") == undisturbed


def with_one_more_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later release has one more field with a default: all identities differ from those that were recorded."""
    from decaystudy.runs.config import RunConfig

    plain = RunConfig.identity
    monkeypatch.setattr(RunConfig, "identity", lambda config: {**plain(config), "more": 0})


def test_an_upgrade_that_changes_no_setting_resumes(
    home: Path,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor does an origin.json in which that release has recorded more."""
    run = shutil.copytree(home / "run", tmp_path / "run")
    monkeypatch.chdir(home)
    before = json.loads((run / "origin.json").read_text(encoding="utf-8"))
    write_json(run / "origin.json", {**before, "weather": "fine"})
    with_one_more_setting(monkeypatch)
    assert small.fit(run, *TEXTS) == 0
    assert "another run" not in caplog.text and small.numbers(run) == undisturbed
    assert identity(run / "result.json") == before["identity"]


def forget_settings(run: Path) -> None:
    """Have a run begun by a version that didn't record its settings."""
    before = json.loads((run / "origin.json").read_text(encoding="utf-8"))
    del before["settings"]
    write_json(run / "origin.json", before)


def test_a_run_that_does_not_record_its_settings_counts_as_what_it_is_today(
    home: Path,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, later = (shutil.copytree(home / "run", tmp_path / name) for name in ("run", "later"))
    monkeypatch.chdir(home)
    for old in (run, later):
        forget_settings(old)
    assert small.fit(run, *TEXTS) == 0
    assert "set aside" not in caplog.text and small.numbers(run) == undisturbed
    with_one_more_setting(monkeypatch)
    assert small.fit(later, *TEXTS) == 0
    assert "doesn't record the settings that its run began with" in caplog.text
    assert {"step=4.ckpt.other", "step=7.ckpt.other"} < set(small.saved(later))


@pytest.mark.parametrize("version", ["that records the settings", "from before"])
def test_settings_that_were_edited_are_another_run(
    version: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone changes config.yaml by hand: what was trained before stays, under other names."""
    run = shutil.copytree(home / "run", tmp_path / "run")
    if version == "from before":
        forget_settings(run)
    monkeypatch.chdir(home)
    held = {name: (run / "checkpoints" / name).read_bytes() for name in small.saved(run)}
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"), encoding="utf-8")
    assert small.fit(run, *TEXTS, "--seed", 1) == 0
    assert "step=7.ckpt is another run's" in caplog.text and "step=4.ckpt is another run's" in caplog.text
    assert {name: (run / "checkpoints" / f"{name}.other").read_bytes() for name in held} == held
    assert identity(run / "origin.json") == identity(run / "result.json") != identity(home / "run/origin.json")


def test_a_working_directory_that_is_removed_while_it_trains(
    home: Path, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = shutil.copytree(home / "texts", tmp_path / "work/texts").parent
    monkeypatch.chdir(there)
    with monkeypatch.context() as patch:
        small.at_step(patch, 6, lambda: shutil.rmtree(there))
        assert small.fit(tmp_path / "run", *TEXTS) == 0
    assert small.numbers(tmp_path / "run") == undisturbed


def agree(rank: int, folder: Path, answers: Any) -> None:
    """As a process of a run, of which the first is interrupted as it looks for a checkpoint."""
    group = torch.distributed

    def broadcast(answer: Any) -> Any:
        group.broadcast_object_list(box := [answer], src=0)
        return box[0]

    def join() -> None:
        group.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    resuming.find_resume_point = interrupted  # type: ignore[assignment]
    strategy = SimpleNamespace(connect=lambda module: None, setup_environment=join, broadcast=broadcast)
    trainer = SimpleNamespace(world_size=2, is_global_zero=rank == 0, strategy=strategy)
    try:
        resuming.agree_on_resume_point(trainer, None, RunFolder(folder), {"a"})  # type: ignore[arg-type]
    except BaseException as error:
        answers.put((rank, type(error).__name__))


def test_no_process_waits_for_a_first_one_that_was_interrupted(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=agree, args=(rank, tmp_path, answers)) for rank in (0, 1)]
    for process in processes:
        process.start()
    try:
        assert {answers.get(timeout=30) for _ in processes} == {(0, "KeyboardInterrupt"), (1, "Failure")}
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_a_sharded_run_sets_its_processes_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning asks for it before training and before each validation."""
    calls: list[object] = []
    monkeypatch.setattr(ModelParallelStrategy, "setup_environment", lambda self: calls.append(self))
    monkeypatch.setattr(torch.distributed, "new_group", lambda **_: object())
    strategy = ShardedStrategy(2)
    for _ in range(3):
        strategy.setup_environment()
    assert len(calls) == 1

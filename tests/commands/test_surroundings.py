"""Odd surroundings and odd values, through the command line: one sentence, and no traceback."""

import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from decaystudy.cli import main
from tests.training import small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("surroundings") / "run"
    assert small.fit(out, "--trainer.max_steps", 2, "--recipe.warmup_steps", 1) == 0
    return out


def refusal(capsys: pytest.CaptureFixture[str], *words: object, code: int = 2) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("decaystudy: ") and not any("Traceback" in line for line in said), said
    return said[-1]


def test_a_working_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "was removed: change to another" in refusal(capsys, "fit", "--out", tmp_path / "run")


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_a_rank_that_is_no_number(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank in ("y", ""):
        monkeypatch.setenv(name, rank)
        said = refusal(capsys, "fit", "--print_config")
        assert f"variable {name} is '{rank}', and it numbers the processes" in said


def test_machines_that_know_nothing_of_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", *small.SETTINGS, "--out", tmp_path / "run", "--trainer.devices", "1", "--trainer.num_nodes", "2"]
    assert "trainer.num_nodes is 2, and nothing tells these machines" in refusal(capsys, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", [["fit"], ["status"], ["report"], ["clean"], ["bundle", "mini"]])
def test_links_that_lead_to_themselves(verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    if verb == ["clean"]:
        assert main(["clean", "--out", str(tmp_path / "a")]) == 0
        assert "holds no runs" in capsys.readouterr().out
    else:
        refusal(capsys, *verb, "--out", tmp_path / "a")


@pytest.mark.parametrize("temperature", ["1e-300", "1e-45", "1e-5"])
def test_a_temperature_that_logits_cannot_be_divided_by(
    temperature: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "generate", run, "--temperature", temperature)
    assert "give 0 for the most likely token, or 0.0001 or more" in said
    assert main(["generate", str(run), "--temperature", "0.0001", "--tokens", "3"]) == 0


@pytest.mark.parametrize("temperature", ["0", "1"])
def test_text_from_weights_that_are_no_numbers(
    temperature: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    weights = {name: weight * float("nan") for name, weight in load_file(broken / "model.safetensors").items()}
    save_file(weights, broken / "model.safetensors")
    said = refusal(capsys, "generate", broken, "--temperature", temperature)
    assert f"the model in {broken} gives logits that are not numbers" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evaluate", "RUN", "--tasks", "offline", "--limit", "9" * 25], "--limit is 9999"),
        (["run-study", "sharing", "--dry-run", "--devices", "9" * 25], "--devices is 9999"),
        (["run-study", "sharing", "--dry-run", "--jobs", "9" * 25], "--jobs is 9999"),
        (["run-study", "sharing", "--dry-run", "--runs-per-gpu", "9" * 25], "--runs-per-gpu is 9999"),
        (["probe", "sharing", "--jobs", "9" * 25], "--jobs is 9999"),
    ],
)
def test_numbers_beyond_all_use(words: list[str], says: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, *(str(run) if word == "RUN" else word for word in words))
    assert says in said and "give a whole number of at least 1 and at most" in said


def test_a_pipe_in_place_of_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        said = refusal(capsys, "run-study", "sharing", "--dry-run", "--rates-from", place, "--out", tmp_path)
        assert f"{place} is a pipe or a device, and no file" in said


@pytest.mark.parametrize("verb", [["evaluate", "--tasks", "offline"], ["decays"]])
@pytest.mark.parametrize("name", ["a.xyz", "plain", "folder.svg", "none/a.svg", "a.jpg"])
def test_a_figure_that_cannot_be_written_is_refused_at_once(
    verb: list[str], name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.svg").mkdir()
    said = refusal(capsys, *verb, run, "--figure", tmp_path / name)
    assert "no such file or directory" in said if "/" in name else "ends in .svg, .pdf or .png" in said


@pytest.mark.parametrize(
    ("given", "said"), [("2", "2"), ("nan", "nan"), ("0", "0"), ("0.9,0.5", "0.9,0.5"), ("-1,0.5", "-1,0.5")]
)
def test_a_decay_that_is_no_decay(given: str, said: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "ablate", run, f"--clamp-decay={given}")
    assert told.endswith(
        f"--clamp-decay is {said}: give one λ above 0 and at most 1, or two from 0 to 1, the smaller first"
    )


def test_what_evaluate_would_not_use(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", run, "--tasks", "offline", "--limit", "1", "--lengths", "false"]
    assert main([str(word) for word in words]) == 0
    for size in ("x", "0", "1e3", "auto:4"):  # also where nothing is left to evaluate
        assert "--batch-size is '" in refusal(capsys, *words, "--batch-size", size)
    said = refusal(capsys, *words, "--figure", tmp_path / "a.svg")
    assert "--figure draws losses by position" in said and not (tmp_path / "a.svg").exists()


def test_a_text_that_is_none(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 9)
    assert "not UTF-8 text at byte 128" in refusal(capsys, "decays", run, "--text", tmp_path / "binary")
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or a device" in refusal(capsys, "decays", run, "--text", tmp_path / "pipe")


def test_a_pipe_in_place_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is a pipe or a device" in refusal(capsys, "fit", "--print_config", "--config", tmp_path / "pipe.yaml")


def test_settings_that_a_shell_hands_over(capsys: pytest.CaptureFixture[str]) -> None:
    """As in --config <(command)."""
    reading, writing = os.pipe()
    os.write(writing, b"seed: 7\n")
    os.close(writing)
    assert main(["fit", "--print_config", "--config", f"/dev/fd/{reading}"]) == 0
    os.close(reading)
    assert "seed: 7" in capsys.readouterr().out


def test_a_cache_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DECAYSTUDY_CACHE", "/proc/none")
    words = ["fit", *small.SETTINGS, "--data.tokenizer", "bpe:300", "--out", tmp_path / "run"]
    assert "point DECAYSTUDY_CACHE elsewhere" in refusal(capsys, *words)


def test_an_exported_model_is_not_trained_over(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    said = refusal(capsys, "fit", *small.SETTINGS, "--out", tmp_path / "model")
    assert "model.safetensors is of no run" in said
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert not {"config.yaml", "result.json"} & {path.name for path in (tmp_path / "model").iterdir()}


def copied(run: Path, folder: Path) -> Path:
    """The run in a folder of the test's own, as it was before anybody evaluated it."""
    shutil.copytree(run, folder / "run", ignore=shutil.ignore_patterns("evaluation*"))
    return folder / "run"


@pytest.mark.parametrize("verb", [["evaluate", "--tasks", "offline"], ["decays"], ["ablate", "--average-heads"]])
def test_all_runs_are_looked_for_before_the_first_is_measured(
    verb: list[str], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = copied(run, tmp_path)
    capsys.readouterr()
    assert main([verb[0], str(copy), str(tmp_path / "none"), *verb[1:]]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("decaystudy: ") and "none is no run's folder" in said.err and not said.out
    assert not (copy / "evaluation.json").exists()


def test_a_figure_of_what_is_not_measured(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tasks", "offline", "--lengths", "false", "--figure", tmp_path / "a.svg"]
    copy = copied(run, tmp_path)
    assert "leave --lengths false out" in refusal(capsys, "evaluate", copy, *words)
    assert not (copy / "evaluation.json").exists()


def test_weights_that_are_gone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copied(run, tmp_path)
    (copy / "model.safetensors").unlink()
    assert f"{copy / 'model.safetensors'} is gone: restore it from a copy" in refusal(capsys, "generate", copy)
    (copy / "model.safetensors").mkdir()
    assert "is a folder where a file should be" in refusal(capsys, "decays", copy)
    (copy / "model.safetensors").rmdir()
    (copy / "result.json").unlink()
    (copy / "status.json").unlink()
    said = refusal(capsys, "generate", copy)
    assert f"finish it with decaystudy fit --config {copy / 'config.yaml'} --out {copy}" in said
    (copy / "config.yaml").write_text("", encoding="utf-8")
    assert "is not a run's configuration: restore it from a copy" in refusal(capsys, "generate", copy)


def test_a_run_in_a_folder_whose_name_needs_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my run"
    assert small.fit(out, "--trainer.max_steps", 1, "--recipe.warmup_steps", 1) == 0
    assert f"decaystudy tensorboard '{out}'" in capsys.readouterr().out

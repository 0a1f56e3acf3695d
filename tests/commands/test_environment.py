"""What the environment of a call may break: libraries, limits, files that are named like modules, full disks."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from decaystudy.cli import main
from decaystudy.data.folders import cache_json
from decaystudy.errors import UserError, exit_code
from decaystudy.imports import blaming
from decaystudy.io import write_json
from tests.training import small

PACKAGE = Path(__file__).parents[2]


def called(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "decaystudy", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **environment},
        capture_output=True,
        encoding="utf-8",
    )


def test_files_that_are_named_like_libraries_take_no_ones_place(tmp_path: Path) -> None:
    for name in ("types", "random", "logging", "yaml", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError", encoding="utf-8")
    done = called(tmp_path, "status")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


def test_a_library_that_a_variable_of_the_environment_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brittle.py").write_text("def check():\n    raise ValueError('VARIABLE is no number\\nor so')\ncheck()")
    (tmp_path / "needy.py").write_text("import brittle_of_all")
    monkeypatch.syspath_prepend(tmp_path)
    for name, told in (
        ("brittle", "brittle cannot be imported; it raises ValueError: VARIABLE is no number: mend what it names"),
        ("needy", "needy cannot be imported; it raises ModuleNotFoundError: No module named 'brittle_of_all': mend"),
    ):
        with pytest.raises(UserError, match=told) as raised, blaming():
            __import__(name)
        assert "\n" not in str(raised.value)
    with pytest.raises(ZeroDivisionError), blaming():
        print(1 / 0)


@pytest.mark.slow
def test_variables_that_libraries_cannot_read(tmp_path: Path) -> None:
    words = ["fit", *small.SETTINGS, "--out", "run"]
    done = called(tmp_path, *words, TORCH_LOGS="nonsense")
    assert done.returncode == 2 and "decaystudy: torch cannot be imported; it raises ValueError" in done.stderr
    assert len(done.stderr.splitlines()) <= 6
    assert called(tmp_path, *words, MPLBACKEND="nonsense").returncode == 0


@pytest.mark.parametrize("cached", [True, False])
def test_a_file_that_would_be_larger_than_is_allowed(
    cached: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            (cache_json if cached else write_json)(path, "a" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return 0

    assert exit_code(write) == (2 if cached else 1)
    said = capsys.readouterr().err
    assert ("raise the limit (ulimit -f)" if cached else f"{path}: file too large") in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["fit", "--print_config"], ["fit", "--help"]])
def test_settings_that_a_full_disk_swallows_are_no_success(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", full)
        assert main(words) == 1
    assert "standard output could not be written" in capsys.readouterr().err


@pytest.mark.parametrize("disabled", [True, False])
def test_a_model_that_cannot_be_compiled(
    disabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch._dynamo.exc import InternalTorchDynamoError

    def fit(*_: object) -> None:
        if disabled:
            raise RuntimeError("torch.compile with fullgraph=True found no compiled frames. Skipped frames:\n - all")
        raise InternalTorchDynamoError("C++ compile error:\nmany lines")

    monkeypatch.setattr("decaystudy.training.fit.fit", fit)
    assert small.fit(tmp_path / "run") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("decaystudy: torch.compile failed (") and "pass --compile false" in said[-1]
    assert len(said) <= 6 and not (tmp_path / "run").exists()


def test_less_text_than_one_sequence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which was gone through ten thousand times for as many tokens as are hashed."""
    (tmp_path / "a.txt").write_text("\n" * 5000, encoding="utf-8")
    words = ["data-stats", "--data.source", "files", "--data.files", str(tmp_path / "a.txt")]
    assert main([*words, "--data.tokenizer", "bpe:300", "--data.validation_fraction", "0.2"]) == 2
    assert "tokens to train on, fewer than one sequence of 256: give more text" in capsys.readouterr().err

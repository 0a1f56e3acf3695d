"""What a run needs is taken from it while it trains: it ends in a sentence, and the same command afterwards works."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rights import without_rights
from tests.training import small

pytestmark = [pytest.mark.slow, pytest.mark.long]


def fit(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "decaystudy", "fit", *small.SETTINGS, "--logger", "csv", "--out", str(out), *more]


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def write_protect(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_cache_that_may_only_be_read(tmp_path: Path) -> None:
    """A filled one serves all who share it; one that lacks something is named."""
    filled, empty = tmp_path / "filled", tmp_path / "empty"
    empty.mkdir()
    code, said = without_rights(fit(tmp_path / "before"), filled)
    assert code == 0, said
    for cache in (filled, empty):
        write_protect(cache)
    code, said = without_rights(fit(tmp_path / "after"), filled)
    assert code == 0, said
    assert weights(tmp_path / "after") == weights(tmp_path / "before")
    code, said = without_rights(fit(tmp_path / "none"), empty)
    assert code == 2 and "Traceback" not in said and len(said.splitlines()) <= 2, said
    assert str(empty) in said and "cannot be written" in said and "point DECAYSTUDY_CACHE elsewhere" in said
    empty.chmod(0o755)
    code, said = without_rights(fit(tmp_path / "none"), empty)
    assert code == 0, said
    assert weights(tmp_path / "none") == weights(tmp_path / "before")


@pytest.mark.parametrize("how", ["whole", "as it is being filled"])
def test_a_cache_that_is_removed(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is lacking is made again, while another process still tokenizes: more shards than are made at first."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(cache))
    monkeypatch.setattr("decaystudy.data.sources.recall.DOCUMENTS", 100)
    more = ("--data.source", "recall", "--trainer.max_steps", "40")

    def remove() -> None:
        if how == "whole":
            cache.rename(tmp_path / "removed")
        else:
            shutil.rmtree(cache, ignore_errors=True)

    with monkeypatch.context() as patch:
        small.at_step(patch, 2, remove)
        code = small.fit(tmp_path / "run", *more)
    assert code in (0, 1, 2) and "Traceback" not in capsys.readouterr().err
    assert small.fit(tmp_path / "run", *more) == 0 and small.fit(tmp_path / "undisturbed", *more) == 0
    assert small.numbers(tmp_path / "run") == small.numbers(tmp_path / "undisturbed")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_the_folder_of_two_processes_is_removed(strategy: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ("--trainer.devices", "2", "--strategy", strategy, "--trainer.max_steps", "300")
    process = subprocess.Popen(fit(out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while not list(out.glob("checkpoints/step=*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    out.rename(tmp_path / "removed")
    said = process.communicate(timeout=90)[1]
    assert process.returncode == 1 and "Traceback" not in said, said
    assert said.splitlines()[-1] == f"decaystudy: {out} was removed while the run trained: " + (
        "the same command starts the run again"
    )
    assert not out.exists()
    done = subprocess.run(fit(out, *more[:4]), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and (out / "result.json").exists(), done.stderr

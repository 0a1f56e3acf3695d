"""The benchmark that measures how much seeds differ under a recipe."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "seed_noise.py"


def test_settings_are_read_as_fit_reads_them() -> None:
    spec = importlib.util.spec_from_file_location("seed_noise", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = "--recipe.learning_rate 2e-3 --recipe.betas [0.9,0.95] --data.tokenizer bpe:512 --trainer.max_steps 3"
    assert module.read_settings(words.split()) == {
        "recipe": {"learning_rate": 0.002, "betas": [0.9, 0.95]},
        "data": {"tokenizer": "bpe:512"},
        "trainer": {"max_steps": 3},
    }
    with pytest.raises(SystemExit, match="come in pairs"):
        module.read_settings(["--recipe.learning_rate"])


@pytest.mark.long
def test_it_prints_what_seeds_do_and_resumes(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPT), "--out", "noise", "--cells", "mamba2,gla-shared", "--seeds", "0,1"]
    words += ["--trainer.max_steps", "2", "--recipe.warmup_steps", "1", "--data.validation_tokens", "600"]
    first = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = first.stdout.strip().splitlines()
    assert [line.split()[0] for line in lines] == ["mamba2", "gla-shared", "median"]
    assert re.search(r"median sd of 2 cells over 2 seeds 0\.\d{4}; without .* alike 0\.\d{4}$", lines[-1])
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("noise/*/result.json")}
    again = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert again.stdout == first.stdout and len(times) == 4
    assert times == {path: path.stat().st_mtime_ns for path in times}

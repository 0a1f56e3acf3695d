"""The null study of real runs: how it deals runs out to cells, what it counts, and that it resumes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "null_study.py"
TOKENS = np.full(60, 50)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("null_study", SCRIPT)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runs(count: int, seed: int = 0) -> np.ndarray:
    """Summed nats (runs, documents) of runs that differ by nothing but chance."""
    rng = np.random.default_rng(seed)
    documents, own = rng.normal(5, 0.5, len(TOKENS)), rng.normal(0, 0.02, (count, 1))
    return (documents + own + rng.normal(0, 0.05, (count, len(TOKENS)))) * TOKENS


def test_every_run_is_in_one_cell_of_a_repetition(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = benchmark.compare
    monkeypatch.setattr(benchmark, "compare", lambda cells, *more: seen.append(cells) or real(cells, *more))
    nll = runs(32)
    benchmark.repetitions(nll, TOKENS, 5)
    orders = set()
    for cells in seen:
        assert len(cells) == 10 and all(own.shape == (3, len(TOKENS)) for own in cells.values())
        rows = [tuple(row) for own in cells.values() for row in own]
        assert len(set(rows)) == 30 and set(rows) <= {tuple(row) for row in nll}
        orders.add(tuple(rows))
    assert len(orders) == 5, "dealt out anew each time"


def test_a_repetition_is_false_if_any_of_its_rows_is(benchmark: ModuleType) -> None:
    nll = runs(30)
    quiet = benchmark.summary(nll, TOKENS, benchmark.repetitions(nll, TOKENS, 20))
    assert quiet["false"] <= 3 and quiet["comparisons"] == 9 and quiet["repetitions"] == 20
    assert quiet["seed_sd"] == pytest.approx(0.02, rel=0.5)
    studies = benchmark.repetitions(nll, TOKENS, 2)
    cells = {f"cell {i}": nll[3 * i : 3 * i + 3] + (100 * TOKENS if i == 4 else 0) for i in range(10)}
    studies[1] = benchmark.compare(cells, TOKENS, "cell 0")
    found = benchmark.summary(nll, TOKENS, studies)
    assert 1 in found["false_repetitions"] and found["false_rows"] >= 1
    again = benchmark.summary(nll, TOKENS, benchmark.repetitions(nll, TOKENS, 20))
    assert again == quiet, "from a fixed generator"


@pytest.mark.long
def test_it_trains_what_is_missing_and_judges_what_is_there(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--runs", "6", "--repetitions", "2"]
    words += ["--steps", "2", "--json"]
    first = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert first.returncode in (0, 1), first.stderr
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/result.json")}
    assert len(times) == 6
    again = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert again.stdout == first.stdout and json.loads(first.stdout)["runs"] == 6
    assert times == {path: path.stat().st_mtime_ns for path in times}

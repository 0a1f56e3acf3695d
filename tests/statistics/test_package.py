"""The package as a whole: quick to import, and graded by its benchmark."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import decaystudy.statistics

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "statistics.py"


@pytest.fixture(scope="module")
def benchmark():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("statistics_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_importing_it_imports_neither_torch_nor_scipy():
    program = "import sys, decaystudy.statistics; print({'torch', 'scipy', 'pandas'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_all_names_exist_and_no_function_hides_a_module():
    for name in decaystudy.statistics.__all__:
        assert getattr(decaystudy.statistics, name) is not None
        assert not Path(decaystudy.statistics.__file__).with_name(f"{name}.py").exists()


def test_the_benchmark_passes_on_few_studies():
    run = subprocess.run(
        [sys.executable, BENCHMARK, "--quick", "--json", "--repetitions", "100"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(run.stdout)
    assert {row["setting"]["what"] for row in rows} == {"losses", "one seed", "accuracies", "λ", "tuned rates"}
    assert all(row["goals"] and not row["missed"] for row in rows)


def test_the_benchmark_fails_where_a_goal_is_missed(benchmark):
    row = benchmark.Row(benchmark.Setting(), {"false": 0.08, "found": 0.85})
    row.at_most("false", 0.06, studies=4000)
    row.at_least("found", 0.9, studies=4000)
    assert row.missed == ["false 0.080 > 0.060", "found 0.850 < 0.900"] and "✘" in benchmark.described(row)
    chance = benchmark.Row(benchmark.Setting(), {"false": 0.065, "found": 0.89})
    chance.at_most("false", 0.06, studies=4000)
    chance.at_least("found", 0.9, studies=4000)
    assert not chance.missed and chance.goals == 2


def test_the_benchmark_catches_a_method_that_is_too_sure(benchmark, monkeypatch):
    """Intervals at 80 % instead of 95 % miss the goals."""
    plain = benchmark.compare
    monkeypatch.setattr(benchmark, "compare", lambda *args, **settings: plain(*args, **settings, level=0.8))
    row = benchmark.simulate((benchmark.Setting(seeds=3, documents=40, sd=0.01), 200))
    assert any(text.startswith("false") for text in row.missed)

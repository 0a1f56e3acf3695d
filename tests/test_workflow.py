"""What runs elsewhere: each job of CI is a make target, and hooks check with the versions that make installs."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
JOB = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["make"]
MATRIX = JOB["strategy"]["matrix"]
TARGETS = sorted({*MATRIX["target"], *(extra["target"] for extra in MATRIX["include"])})


@pytest.mark.parametrize("target", TARGETS)
def test_each_job_is_a_make_target(target):
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "make ${{ matrix.target }} PYTHON=python" in [step.get("run") for step in JOB["steps"]]


def test_every_test_target_is_a_job():
    rules = re.findall(r"^((?:test[a-z-]*|lint|coverage)):", (ROOT / "Makefile").read_text(), re.M)
    assert sorted({*rules} - {"test-all"}) == TARGETS


def test_the_tests_run_on_every_python_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [word.rpartition(":: ")[2] for word in project["classifiers"] if ":: Python :: 3." in word]
    assert MATRIX["python"] == named and project["requires-python"] == f">={named[0]}"


def test_hooks_check_with_the_versions_that_make_installs():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    versions = {repo["repo"].rpartition("/")[2].removesuffix("-pre-commit"): repo["rev"] for repo in hooks}
    assert versions == {name: f"v{pins[name]}" for name in ("ruff", "codespell")}

"""Runs what plans and prints where neither torch nor any other heavy package is installed."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import decaystudy.cli

HEAVY = ("torch", "lightning", "transformers", "datasets", "tokenizers", "pandas", "matplotlib", "rich", "lm_eval")
BUNDLE = Path(decaystudy.__file__).resolve().parents[1] / "tests/golden/judged.bundle"
CALLS = (
    "--help",
    "--version",
    "list",
    *(f"{verb} --help" for verb in decaystudy.cli.VERBS),
    "fit --print_config --scale 1.45b",
    "run-study sharing --dry-run",
    "run-study sharing granularity --scale 160m --seeds 0,1 --dry-run --gpu a100-80gb --json",
    f"rejudge {BUNDLE}",
    f"compare {BUNDLE} {BUNDLE}",
    "doctor",
)

installed = [name for name in HEAVY if importlib.util.find_spec(name)]
if installed:
    sys.exit(f"this is no minimal environment: {', '.join(installed)} is installed")
os.chdir(tempfile.mkdtemp())
for call in CALLS:
    code = decaystudy.cli.main(call.split())
    if code:
        sys.exit(f"decaystudy {call} ended with code {code}")
if os.listdir():
    sys.exit(f"it wrote {os.listdir()} into the working directory")
print(f"\n{len(CALLS)} passed, 0 failed")

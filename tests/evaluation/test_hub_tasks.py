"""lm-eval's tasks with their data from a hub: fetched ahead, evaluated without it, and as lm-eval's own command line
scores the export."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.loopback import LoopbackHub, parquet

pytestmark = pytest.mark.slow

TASKS = ("lambada_openai", "piqa")


def dataset(rows: list[dict], *splits: str) -> dict[str, bytes]:
    entries = "".join(f"  - split: {split}\n    path: {split}-*\n" for split in splits)
    files = {f"{split}-00000-of-00001.parquet": parquet(rows, row_group_size=50) for split in splits}
    return {"README.md": f"---\nconfigs:\n- config_name: default\n  data_files:\n{entries}---\n".encode(), **files}


@pytest.fixture
def hub():
    words = ["list", "string", "module", "object", "value", "number", "file", "class"]
    questions = [
        {"goal": f"Return the {a} of a {b}", "sol1": f"call the {a}.", "sol2": f"use {b} {a} {b}.", "label": i % 2}
        for i, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    passages = [{"text": f"The {a} is made from a {b}, and the {b} from the {a}"} for a in words for b in words]
    server = LoopbackHub(
        {
            "datasets/baber/piqa": dataset(questions, "train", "validation"),
            "datasets/EleutherAI/lambada_openai": dataset(passages, "test"),
        }
    )
    yield server
    server.stop()


@pytest.mark.long
def test_fetched_ahead_and_scored_as_lm_eval_does(hub, copied: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }

    def call(*words: str, expect: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment)
        assert done.returncode == expect, done.stderr[-3000:]
        return done.stdout + done.stderr

    hub.fail_every = 5
    said = call("decaystudy", "prepare-tasks", "--tasks", ",".join(TASKS))
    assert "✔ lambada_openai: 64 questions" in said and "✔ piqa: 64 questions" in said
    hub.stop()
    said = call("decaystudy", "evaluate", str(copied), "--tasks", "boolq", "--lengths", "false", expect=2)
    assert "boolq is not in the cache" in said and "prepare-tasks --tasks boolq" in said and "Traceback" not in said
    said = call("decaystudy", "prepare-tasks", "--tasks", "piqa,boolq", expect=2)
    assert "✔ piqa: 64 questions" in said and "call this again where there is a network" in said
    size = ["--batch-size", "1"]
    call("decaystudy", "evaluate", str(copied), "--tasks", ",".join(TASKS), *size, "--lengths", "false")
    ours = json.loads((copied / "evaluation.json").read_text())["tasks"]

    call("decaystudy", "export", str(copied), str(tmp_path / "export"))
    environment["HF_HUB_OFFLINE"] = "1"
    model = f"pretrained={tmp_path / 'export'},trust_remote_code=True,dtype=float32"
    where = ["--model", "hf", "--model_args", model, "--device", "cpu", "--batch_size", "1"]
    call("lm_eval", *where, "--tasks", ",".join(TASKS), "--output_path", str(tmp_path / "out"))
    found = next((tmp_path / "out").rglob("results_*.json"))
    theirs = json.loads(found.read_text())["results"]
    for task in TASKS:
        expected = {key.removesuffix(",none"): value for key, value in theirs[task].items() if "," in key}
        assert len(expected) >= 4 and {key: ours[task][key] for key in expected} == expected

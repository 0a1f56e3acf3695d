"""Weights & Biases and Trackio for real, offline: what they keep, and that a resumed run is the same run to them.

`make test-extras` installs the packages and runs this; elsewhere each test skips itself by the name of its package.
"""

import json
import os
import struct
import subprocess
import sys

import pytest

pytestmark = pytest.mark.extras

SHORT = ["--model.layers", "1", "--model.d_model", "32", "--model.glu_width", "64", "--data.sequence_length", "64"]
SHORT += ["--trainer.log_every_n_steps", "2", "--data.validation_tokens", "2000", "--recipe.warmup_steps", "1"]


def fit(out, logger, **environment):
    """Two calls in processes of their own: 4 steps, and then the run as it would be after a kill."""
    command = [sys.executable, "-m", "decaystudy", "fit", *SHORT, "--logger", logger, "--out", str(out)]
    command += ["--trainer.max_steps", "4"]
    said = []
    for _ in range(2):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.startswith("finished 4 steps"), done.stdout
        said.append(done.stderr)
        (out / "result.json").unlink()
        (out / "checkpoints" / "step=4.ckpt").unlink()
    return said


def records(file):
    """What a .wandb file holds: protobuf messages in LevelDB's log format, blocks of 32 KiB of framed pieces."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, message = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        message += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = Record()
            record.ParseFromString(message)
            yield record
            message = b""


def test_weights_and_biases(tmp_path):
    pytest.importorskip("wandb")
    out = tmp_path / "run"
    fit(out, "wandb", WANDB_MODE="offline", WANDB_SILENT="true")
    name = (out / "wandb.id").read_text().strip()
    files = sorted(out.glob("wandb/offline-run-*/*.wandb"))
    assert {file.name for file in files} == {f"run-{name}.wandb"}
    rows = []
    for file in files:
        found = {}
        for record in records(file):
            found.setdefault(record.WhichOneof("record_type"), []).append(record)
        assert {(record.run.project, record.run.run_id) for record in found["run"]} == {("decaystudy", name)}
        config = {item.key: json.loads(item.value_json) for item in found["run"][0].run.config.update}
        assert config["model"]["decay"] == "mamba2" and config["trainer"]["max_steps"] == 4
        assert [record.exit.exit_code for record in found["exit"]] == [0]
        rows += [
            {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            for record in found.get("history", [])
        ]
    losses = [(row["trainer/global_step"], row["train/loss"]) for row in rows if "train/loss" in row]
    assert [step for step, _ in losses] == [2, 4] and all(7 < loss < 8 for _, loss in losses), "each point once"
    assert any("validation/loss" in row for row in rows)


def test_weights_and_biases_without_a_login(tmp_path):
    pytest.importorskip("wandb")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    command = [sys.executable, "-m", "decaystudy", "fit", *SHORT, "--logger", "wandb", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**environment, "HOME": str(tmp_path), "WANDB_ERROR_REPORTING": "false"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("decaystudy: --logger wandb: ")
    assert done.stderr.strip().endswith("or set WANDB_MODE=offline")


def test_trackio(tmp_path):
    pytest.importorskip("trackio")
    out, kept = tmp_path / "run", tmp_path / "kept"
    _, resumed = fit(out, "trackio", TRACKIO_DIR=str(kept))
    name = (out / "trackio.id").read_text().strip()
    assert f"Resumed existing run: {name}" in resumed
    program = (
        "import json; from trackio.sqlite_storage import SQLiteStorage as S; "
        "print(json.dumps({run: [[row['step'], row.get('train/loss')] for row in S.get_logs('decaystudy', run)]"
        " for run in S.get_runs('decaystudy')}))"
    )
    read = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TRACKIO_DIR": str(kept)},
        check=True,
    )
    runs = json.loads(read.stdout.strip().splitlines()[-1])
    assert list(runs) == [name]
    losses = [(step, loss) for step, loss in runs[name] if loss is not None]
    assert [step for step, _ in losses] == [2, 4], "each point once"

"""What a plan says beside its runs: data, comparisons, what is too small, speeds by decay, and how plans have fared."""

import json
from pathlib import Path
from typing import Any

import pytest

from decaystudy.cli import main
from decaystudy.devices import DEVICES, named_device, peak_flops
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.obstacles import obstacles
from decaystudy.study.planning.plan import accuracy_line, plan_study
from decaystudy.study.planning.plan_schema import PlanAccuracy
from tests.study import small
from tests.study.planted import plant


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["run-study", *words, "--dry-run", "--json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_a_plan_names_data_comparisons_and_what_is_resolved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "sharing", "--scale", "160m", "--gpu", "a100-80gb", "--out", str(tmp_path))
    (data,) = plan["data"]
    assert (
        data["source"] == "fineweb-edu"
        and data["source_tokens"] == 10**10
        and data["epochs"] == pytest.approx(1.05, rel=0.01)
    )
    assert data["cache_bytes"] == 2 * 10**10 and data["download_bytes"] > data["cache_bytes"]
    assert ["mamba2-shared", "mamba2-independent"] in plan["comparisons"]
    assert "3 seeds resolve about" in plan["resolution"] and plan["claims"] and plan["accuracy"] is None


def test_a_folder_is_counted_by_its_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("word " * 8000)
    more = ["--data.source", "files", "--data.files", str(tmp_path / "texts"), "--out", str(tmp_path / "out")]
    (data,) = planned(capsys, "sharing", *more)["data"]
    assert data["source_tokens"] == 10000 and data["epochs"] == pytest.approx(18.4, rel=0.01)
    assert data["cache_bytes"] == 20000 and data["download_bytes"] == 0
    assert main(["run-study", "sharing", "--dry-run", *more]) == 0
    assert "data: files under bpe:2048, 184 k tokens per run of about 10 k, 18 epochs" in capsys.readouterr().out


def test_too_little_time_and_room_are_flagged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sharing", "--scale", "160m", "--gpu", "a100-80gb", "--out", str(tmp_path)]
    limited = planned(capsys, *words, "--trainer.max_time", "00:01:00:00")["warnings"]
    assert any("more than trainer.max_time of 1.0 h" in warning for warning in limited)
    assert not any("max_time" in warning for warning in planned(capsys, *words)["warnings"])
    study = expand(read_study("sharing"))
    runs = plan_study(study, Store(tmp_path), choose_speed("tiny", gpu="h100", devices=1, jobs=1, on_cpu=False), 1).runs
    configs = [run.config for run in study.runs()]
    assert obstacles(runs, configs, (), 2**20, None)[0].startswith("checkpoints take 794.1 MiB and 1.0 MiB are free")
    assert obstacles(runs, configs, (), 2**40, None) == ()


@pytest.mark.parametrize(("scale", "steps", "said"), [("tiny", 46, False), ("tiny", 45, True), ("mini", 100, True)])
def test_runs_too_short_to_learn_anything_are_flagged(
    scale: str, steps: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss of tiny's first 45 steps is above that of guessing tokens by their frequency."""
    words = ["sharing", "--scale", scale, "--trainer.max_steps", str(steps), "--out", str(tmp_path)]
    warnings = planned(capsys, *words)["warnings"]
    assert any("too little for any verdict" in warning for warning in warnings) == said
    assert not said or (f"runs of {steps} steps see" in warnings[0] and f"scale {scale} is made for" in warnings[0])


def test_a_gpu_of_two_sizes_is_refused_with_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run-study", "sharing", "--scale", "160m", "--dry-run", "--gpu", "A100"]) == 2
    assert "give a100-40gb or a100-80gb" in capsys.readouterr().err


def test_hours_differ_by_decay_as_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "sharing", "--scale", "160m", "--gpu", "h200", "--out", str(tmp_path))
    assert "measured by decay at 160m on one NVIDIA H200" in plan["hours_from"] and "RESULTS.md" in plan["hours_from"]
    hours = {cell["name"]: cell["hours"] / cell["runs"] for cell in plan["cells"]}
    tokens = plan["runs"][0]["tokens"]
    assert tokens / hours["mamba2-independent"] / 3600 == pytest.approx(409e3, rel=0.01)
    assert tokens / hours["lightnet-independent"] / 3600 == pytest.approx(376e3, rel=0.01)


def test_peaks_are_those_of_the_right_gpu_and_precision() -> None:
    assert named_device("NVIDIA A100-SXM4-80GB") is DEVICES["a100-80gb"]
    assert named_device("NVIDIA H100 PCIe") is None and named_device("cpu") is None
    assert peak_flops("NVIDIA H200", "bf16-mixed") == 989e12
    assert peak_flops("NVIDIA H200", "32-true") is None


def test_plans_are_set_against_what_their_runs_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = small.write_study(tmp_path / "file"), tmp_path / "out"
    words = (str(file), "--out", str(out))
    store = Store(out)
    assert planned(capsys, *words)["accuracy"] is None
    plant(expand(read_study(str(file))), store, {"gla": 0.05})
    assert main(["run-study", str(file), "--out", str(out), "--report", "false"]) == 0
    capsys.readouterr()
    assert planned(capsys, *words)["accuracy"] is None, "runs that were done when they were planned tell nothing"
    record = out / "small" / "plan.json"
    held = json.loads(record.read_text())
    for run in held["runs"]:
        run |= {"done": 0.0, "hours": 1 / 3600}
    record.write_text(json.dumps(held))
    assert planned(capsys, *words)["accuracy"] == {"runs": 3, "median": 1.0, "low": 1.0, "high": 1.0}
    for unlike in (("--gpu", "a100-80gb"), ("--devices", "2"), ("--trainer.max_steps", "41")):
        assert planned(capsys, *words, *unlike)["accuracy"] is None, f"{unlike}: runs of another kind tell nothing"
    assert main(["run-study", str(file), "--out", str(out), "--dry-run"]) == 0
    assert (
        "plans so far: 3 finished runs took 1 to 1 times what was planned, 1 in the median" in capsys.readouterr().out
    )


def test_large_factors_are_plain_numbers() -> None:
    said = accuracy_line(PlanAccuracy(runs=8, median=119.6, low=0.834, high=1712.0))
    assert said.endswith("took 0.83 to 1,712 times what was planned, 120 in the median")


def test_a_plan_says_how_many_devices_its_time_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sharing", "--scale", "160m", "--gpu", "a100-80gb", "--devices", "8", "--launcher", "slurm", "--jobs", "3"]
    assert main(["run-study", *words, "--out", str(tmp_path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "with 3 at once, on 24 GPUs" in said and "1 epoch;" in said

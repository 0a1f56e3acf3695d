"""The probe, for real: in under a minute, and its plan against what the study then took."""

import json
import time
from pathlib import Path

import pytest

from decaystudy.study.planning.probe import probe
from tests.study import small

pytestmark = [pytest.mark.slow, pytest.mark.long]
STUDY = small.STUDY[: small.STUDY.index("settings:")] + (
    "settings: {max_steps: 45, warmup_steps: 5, validate_every: 25}\ngrid:\n  decay: [mamba2, gla, hgrn2, lightnet]\n"
)
TRIES = 3
"""Other work on the machine may spoil a measurement."""


def test_planned_time_is_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = small.write_study(tmp_path, STUDY)
    small.run(str(file), "--out", str(tmp_path / "warm"), "--trainer.max_steps", "5")  # corpus and tokenizer
    ratios = []
    for attempt in range(TRIES):
        began = time.monotonic()
        assert probe([str(file)]) == 0
        assert time.monotonic() - began < 60
        out = tmp_path / str(attempt)
        said = small.run(str(file), "--out", str(out))
        assert "started" in said
        plan = json.loads((out / "small" / "plan.json").read_text())
        assert "measured on this machine" in plan["hours_from"]
        results = json.loads((out / "small" / "results.json").read_text())
        took = sum(cell["cost"]["seconds"] for cell in results["runs"])
        ratios.append(sum(cell["hours"] * 3600 for cell in plan["runs"]) / took)
        if 0.75 < ratios[-1] < 1.25:
            return
    raise AssertionError(f"planned time by time taken: {ratios}")

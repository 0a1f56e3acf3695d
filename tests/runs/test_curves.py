"""Curves as they are read back from TensorBoard's files."""

from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from decaystudy.runs.curves import read_curves


def write(folder: Path, suffix: str, steps: range, shift: float = 0.0) -> None:
    with SummaryWriter(str(folder), filename_suffix=suffix) as writer:
        for step in steps:
            writer.add_scalar("train/loss", step + shift, step)
            writer.add_scalar("train/tokens_per_second", 1.0, step)
            if step % 10 == 0:
                writer.add_scalar("decay_median/layer_00", 0.5, step)


def test_what_tells_of_learning_is_read_once_and_thinned(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}
    write(tmp_path, ".1", range(0, 600))
    write(tmp_path, ".2", range(500, 1001), shift=0.5)
    found = read_curves(tmp_path)
    assert list(found) == ["decay_median/layer_00", "train/loss"]
    loss, whole = found["train/loss"], read_curves(tmp_path, ["train/"], most=None)
    assert len(loss.steps) == 200 and (loss.steps[0], loss.steps[-1]) == (0, 1000) and (np.diff(loss.steps) > 0).all()
    assert len(found["decay_median/layer_00"].steps) == 101
    assert list(whole) == ["train/loss", "train/tokens_per_second"] and len(whole["train/loss"].steps) == 1001
    assert np.array_equal(whole["train/loss"].values[[499, 500, 1000]], [499.0, 500.5, 1000.5])


def test_a_file_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    write(tmp_path, "", range(0, 50))
    (file,) = tmp_path.glob("events*")
    file.write_bytes(file.read_bytes()[:-100] + b"\xff" * 40)
    assert 40 < len(read_curves(tmp_path)["train/loss"].steps) < 50

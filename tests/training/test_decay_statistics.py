"""The statistics of λ against NumPy's, at lengths at which quartiles fall on and between values."""

import numpy as np
import pytest
import torch

from decaystudy.training.decay_statistics import summary


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 1000, 4097])
def test_quartiles_and_shares(count: int) -> None:
    values = np.random.default_rng(count).random(count) ** 3
    values[: count // 5], values[count - count // 7 :] = 0.0, 1.0
    found = summary(3, torch.from_numpy(values.copy()))
    assert found["layer"] == 3
    assert [found["q25"], found["median"], found["q75"]] == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["near_zero"] == pytest.approx((values < 0.01).mean())
    assert found["near_one"] == pytest.approx((values > 0.999).mean())


@pytest.mark.gpu
def test_a_gpu_says_the_same() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    values = torch.rand(100_003, dtype=torch.float64)
    assert summary(0, values.cuda()) == pytest.approx(summary(0, values))

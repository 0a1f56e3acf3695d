"""Closed-form parameter counts against the built models."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.model.count import forward_flops, parameter_count
from tests.model.combinations import valid_combinations


def built(config):
    with torch.device("meta"):
        return DecayTransformer(config)


def test_every_combination():
    for combination in valid_combinations():
        config = ModelConfig.preset("tiny", **combination, layers=2, vocab_size=70)
        assert parameter_count(config) == sum(p.numel() for p in built(config).parameters()), combination


@pytest.mark.parametrize(
    "changes",
    [
        {"mixer": "softmax"},
        {"decay_rank": 7},
        {"decay_rank": "full"},
        {"decay_rank": 5, "granularity": "paired"},
        {"output_norm": "head"},
        {"dplr": True, "beta_max": 2.0},
        {"decay": "simple", "decay_options": {"start": 0.9}},
        {"decay": "hgrn2", "layers": 1},
        {"decay": "tnl-l", "granularity": "scalar", "decay_options": {"released": True}},
        {"vocab_size": 65},
    ],
)
def test_options(changes):
    config = ModelConfig.preset("tiny", **changes)
    assert parameter_count(config) == sum(p.numel() for p in built(config).parameters())


@pytest.mark.parametrize(("scale", "millions"), [("160m", 167), ("410m", 424), ("1.45b", 1464)])
def test_the_papers_sizes(scale, millions):
    config = ModelConfig.preset(scale)
    count = sum(p.numel() for p in built(config).parameters())
    assert count == parameter_count(config)
    assert abs(count / 1e6 / millions - 1) < 0.015


@pytest.mark.long
def test_flops_outside_the_operator_equal_torchs_own_count():
    for combination in valid_combinations():
        if combination["dplr"] and combination["position"] != "none":
            continue
        small = {"d_model": 32, "heads": 2, "glu_width": 48, "vocab_size": 64, "layers": 2}
        config = ModelConfig.preset("tiny", **combination, **small, backend="recurrent")
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            DecayTransformer(config)(torch.zeros(1, 8, dtype=torch.long))
        # Only matrix products are counted by torch; those of the operator are known and taken away.
        counted = sum(
            flops for op, flops in counter.get_flop_counts()["Global"].items() if op is not torch.ops.aten.bmm
        )
        flops = forward_flops(config, 8)
        expected = 8 * (flops.projections + flops.decay + flops.head)
        assert abs(counted / expected - 1) < 0.02, (combination, counted, expected)

"""Every valid model of the design space learns: finite gradients everywhere and a falling loss, at scale tiny."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from decaystudy.model import DecayTransformer, ModelConfig
from tests.model.combinations import label, valid_combinations


@pytest.mark.parametrize("combination", [*valid_combinations(), {"mixer": "softmax"}], ids=label)
def test_it_learns(combination):
    config = ModelConfig.preset("tiny", **combination, vocab_size=256)
    model = DecayTransformer(config, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    tokens = torch.randint(256, (2, 25), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(4):
        loss = cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05, losses


def test_every_learned_tensor_matters():
    """No parameter has a gradient of exactly zero everywhere: nothing is built and then ignored."""
    for combination in (
        {},
        {"decay": "hgrn2", "position": "tpe"},
        {"decay": "simple", "dplr": True},
        {"sharing": "tied"},
    ):
        model = DecayTransformer(ModelConfig.preset("tiny", **combination, vocab_size=256)).double()
        tokens = torch.randint(256, (2, 25), generator=torch.Generator().manual_seed(0))
        cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().max() > 0, (combination, name)


@pytest.mark.long
def test_one_step_of_160m_on_the_cpu():
    model = DecayTransformer(ModelConfig.preset("160m"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(50257, (1, 257), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(2):
        loss = cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]

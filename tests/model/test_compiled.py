"""Compiled blocks: whole graphs, one for all layers, and the numbers of the model as it is."""

import pytest
import torch
import torch._dynamo.utils

from decaystudy.model import DecayTransformer, ModelConfig

KINDS = {
    "mamba2": {"decay": "mamba2"},
    "hgrn2": {"decay": "hgrn2"},
    "lightnet": {"decay": "lightnet"},
    "tnl": {"decay": "tnl", "granularity": "scalar"},
    "shared": {"decay": "gla", "sharing": True},
    "rope": {"decay": "mamba2", "granularity": "paired", "position": "rope"},
    "lrpe": {"decay": "gla", "position": "lrpe"},
    "tpe": {"decay": "gla", "granularity": "scalar", "position": "tpe"},
    "dplr": {"decay": "simple", "dplr": True},
    "softmax": {"mixer": "softmax"},
}
QUICK = ("mamba2", "hgrn2")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's tracer as for a GPU, without the C++ compiler behind it, which takes a minute per model."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: compile_(function, backend="aot_eager", **how))


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else [pytest.mark.slow, pytest.mark.long]) for kind in KINDS]
)
def test_blocks_compile_whole_and_once(kind: str) -> None:
    config = ModelConfig(layers=4, d_model=32, heads=2, glu_width=48, vocab_size=64, **KINDS[kind])
    plain, compiled = DecayTransformer(config).double(), DecayTransformer(config).double()
    for layer in compiled.layers:
        layer.compile_training()
    tokens = torch.randint(0, 64, (2, 71), generator=torch.Generator().manual_seed(0))
    resets = torch.zeros(2, 70, dtype=torch.bool)
    resets[0, 40] = True
    losses = [
        model(tokens[:, :-1], resets=resets, targets=tokens[:, 1:], reduction="mean") for model in (plain, compiled)
    ]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-12)
    gradients = [
        torch.autograd.grad(loss, list(model.parameters()))
        for loss, model in zip(losses, (plain, compiled), strict=True)
    ]
    for (name, _), one, other in zip(plain.named_parameters(), *gradients, strict=True):
        assert float((one - other).abs().max()) <= 1e-10 * float(one.abs().max()), name
    # HGRN2's first layer has no lower bound, so it is a graph of its own.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == (2 if kind == "hgrn2" else 1)
    assert not torch._dynamo.utils.counters["graph_break"]
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def test_decoding_and_telemetry_are_not_compiled() -> None:
    config = ModelConfig(layers=2, d_model=32, heads=2, glu_width=48, vocab_size=64)
    model = DecayTransformer(config)
    for layer in model.layers:
        layer.compile_training()
    tokens = torch.randint(0, 64, (2, 9))
    model.log_decays(tokens)
    model(tokens, return_state=True)
    assert not torch._dynamo.utils.counters["stats"]

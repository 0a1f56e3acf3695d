"""Start values: analytic where they are known, the same by name, device and order, and after save and reload."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from decaystudy.model import DecayTransformer, ModelConfig


def materialised(config, seed=0):
    with torch.device("meta"):
        model = DecayTransformer(config, seed=seed)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(math.nan)
    model.initialise()
    return model


def reloaded(model, config, path):
    save_file(model.state_dict(), path)
    with torch.device("meta"):
        other = DecayTransformer(config)
    other.load_state_dict(load_file(path), assign=True)
    return other


CASES = [
    ("mamba2", {}, "vector"),
    ("mamba2", {}, "scalar"),
    ("mamba2-no-a", {}, "vector"),
    ("mamba2-no-delta", {}, "vector"),
    ("mamba2-no-a-no-delta", {}, "paired"),
    ("gla", {}, "vector"),
    ("gla", {"temperature": "inside"}, "scalar"),
    ("hgrn2", {}, "vector"),
    ("lightnet", {}, "vector"),
    ("tnl", {}, "scalar"),
    ("tnl-l", {}, "scalar"),
    ("simple", {"p": 0.8}, "vector"),
    ("constant", {"c": 0.9}, "vector"),
    ("none", {}, "scalar"),
    ("mamba2", {"start": 0.9}, "vector"),
    ("hgrn2", {"start": 0.9}, "vector"),
]


def expected_median(name, options, layer, layers, site_heads):
    """Median λ at the start over many channels, f being small and symmetric around zero."""
    if "start" in options:
        return options["start"]
    return {
        "mamba2-no-delta": math.exp(-8.5 * math.log(2)),
        "mamba2-no-a": math.exp(-1e-2),
        "mamba2-no-a-no-delta": 0.5,
        "gla": 0.5 if options.get("temperature") else 0.5 ** (1 / 16),
        "hgrn2": layer / layers + (1 - layer / layers) / 2,
        "simple": options.get("p"),
        "constant": options.get("c"),
        "none": 1.0,
    }.get(name)


@pytest.mark.parametrize(("name", "options", "granularity"), CASES)
@torch.no_grad()
def test_decays_start_where_they_should_also_from_meta_and_after_reload(name, options, granularity, tmp_path):
    config = ModelConfig.preset(
        "tiny", decay=name, decay_options=options, granularity=granularity, d_model=512, heads=4, layers=3
    )
    tokens = torch.randint(2048, (2, 64), generator=torch.Generator().manual_seed(0))
    built = DecayTransformer(config)
    decays = built.log_decays(tokens)
    for other in (materialised(config), reloaded(materialised(config), config, tmp_path / "m.safetensors")):
        for one, two in zip(decays, other.log_decays(tokens), strict=True):
            assert torch.equal(one, two)
    for layer, log_decay in enumerate(decays):
        assert log_decay.shape == ((2, 64, 4) if granularity == "scalar" else (2, 64, 4, 128))
        median = float(log_decay.double().exp().quantile(0.5))
        if name == "mamba2" and not options and granularity == "vector":
            # −log λ = A·dt, A uniform in [1, 16], dt log-uniform in [1e-3, 1e-1]: its quantiles by direct sampling.
            random = torch.Generator().manual_seed(1)
            a = 1 + 15 * torch.rand(200_000, generator=random, dtype=torch.float64)
            dt = 10 ** (-3 + 2 * torch.rand(200_000, generator=random, dtype=torch.float64))
            for q in (0.1, 0.5, 0.9):
                got = float((-log_decay).double().log().quantile(q))
                assert got == pytest.approx(float((a * dt).log().quantile(q)), abs=0.35)
        elif name in ("tnl", "tnl-l"):
            slopes = [-(1 / (2 * 128 ** (h / 3))) * (1 - layer / 2 + 1e-5) for h in range(4)]
            torch.testing.assert_close(log_decay[0, 0].double(), torch.tensor(slopes).double(), rtol=1e-5, atol=0)
        elif name == "lightnet":
            share = torch.arange(1, 65) / torch.arange(2, 66)
            medians = log_decay.exp().flatten(2).median(2).values.mean(0)
            torch.testing.assert_close(medians, share, atol=0.02, rtol=0)
        elif name != "mamba2" or options:
            expected = expected_median(name, options, layer, 3, 4)
            assert median == pytest.approx(expected, abs=0.02 if name != "mamba2-no-delta" else 0.002), (layer, median)


@torch.no_grad()
def test_what_two_models_share_starts_equal():
    def weights(**changes):
        return dict(DecayTransformer(ModelConfig.preset("tiny", **changes), seed=5).named_parameters())

    base = weights()
    for changes in (
        {"sharing": True},
        {"decay": "gla"},
        {"granularity": "scalar"},
        {"decay": "lightnet", "sharing": "tied"},
        {"position": "lrpe"},
        {"dplr": True},
        {"mixer": "softmax"},
        {"decay": "hgrn2", "position": "tpe"},
    ):
        other = weights(**changes)
        shared = [name for name in base if name in other and base[name].shape == other[name].shape]
        assert len(shared) > 10
        for name in shared:
            assert torch.equal(base[name], other[name]), (changes, name)
    different = dict(DecayTransformer(ModelConfig.preset("tiny"), seed=6).named_parameters())
    assert not torch.equal(base["layers.0.token_mixer.q.weight"], different["layers.0.token_mixer.q.weight"])


@torch.no_grad()
def test_weights_are_normal_and_residual_outputs_smaller():
    model = DecayTransformer(ModelConfig.preset("tiny", d_model=256, layers=4))
    mixer = model.layers[2].token_mixer
    assert float(mixer.q.weight.std()) == pytest.approx(0.02, rel=0.02)
    assert float(mixer.out.weight.std()) == pytest.approx(0.02 / math.sqrt(8), rel=0.02)
    assert float(model.layers[0].channel_mixer.w3.weight.std()) == pytest.approx(0.02 / math.sqrt(8), rel=0.02)
    assert float(model.embedding.weight.std()) == pytest.approx(0.02, rel=0.02)
    assert (model.norm.weight == 1).all()
    assert not any(isinstance(m, torch.nn.Linear) and m.bias is not None for m in model.modules())


def test_decay_parameters_never_lose_precision():
    model = DecayTransformer(ModelConfig.preset("tiny")).to(torch.bfloat16)
    mixer = model.layers[0].token_mixer
    assert mixer.q.weight.dtype == torch.bfloat16 and mixer.decay.extras.A_log.dtype == torch.float32
    assert (
        DecayTransformer(ModelConfig.preset("tiny")).double().layers[0].token_mixer.decay.extras.delta.dtype
        == torch.float64
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_start_values_are_the_same_on_a_gpu():
    config = ModelConfig.preset("tiny", decay="hgrn2", decay_options={"start": 0.9})
    here = DecayTransformer(config).state_dict()
    with torch.device("cuda"):
        there = DecayTransformer(config).state_dict()
    assert all(tensor.is_cuda and torch.equal(tensor.cpu(), here[name]) for name, tensor in there.items())

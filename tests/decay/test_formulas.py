"""Each decay's log λ against an independent float64 formula, in numpy and scalar loops."""

import math

import numpy as np
import pytest
import torch

from decaystudy.decay import DECAYS, LayerContext, make_decay

HEADS, WIDTH, LAYERS = 3, 8, 4


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def softplus(x):
    return np.logaddexp(0.0, x)


def lightnet(f):
    total = np.ones_like(f[:, 0])
    rows = []
    for t in range(f.shape[1]):
        before, total = total, total + np.exp(f[:, t])
        rows.append(np.log(before) - np.log(total))
    return np.stack(rows, axis=1)


def tnl(layer, layers, heads):
    ratio = 128 ** (1 / (heads - 1)) if heads > 1 else 1.0
    return np.array([-(1 / (2 * ratio**h)) * (1 - layer / (layers - 1) + 1e-5) for h in range(heads)])


# What each decay should give for logit f (B, T, size), parameters and context: written from the paper, not the code.
REFERENCES = {
    "mamba2": lambda f, e, s: -np.exp(e["A_log"]) * softplus(f + e["delta"]),
    "mamba2-no-a": lambda f, e, s: -softplus(f + e["delta"]),
    "mamba2-no-delta": lambda f, e, s: -np.exp(e["A_log"]) * softplus(f),
    "mamba2-no-a-no-delta": lambda f, e, s: -softplus(f),
    "gla": lambda f, e, s: log_sigmoid(f) / 16,
    "hgrn2": lambda f, e, s: hgrn2(f, e["bounds"], s.layer),
    "lightnet": lambda f, e, s: lightnet(f),
    "tnl": lambda f, e, s: tnl(s.layer, s.layers, s.heads),
    "tnl-l": lambda f, e, s: -np.exp(e["theta"]),
    "simple": lambda f, e, s: log_sigmoid(f + e["delta"]),
    "constant": lambda f, e, s: np.full(s.size, math.log(0.8)),
    "none": lambda f, e, s: np.zeros(s.size),
}


def hgrn2(f, table, layer):
    shares = np.exp(table) / np.exp(table).sum(0)
    bound = sum((shares[i] for i in range(1, layer + 1)), np.zeros(table.shape[1]))
    return np.log(bound + (1 - bound) * sigmoid(f))


def setup(name, options, granularity, layer, sharing=False, seed=0):
    decay = make_decay(name, options)
    context = LayerContext(layer, LAYERS, HEADS, WIDTH, granularity, sharing)
    random = torch.Generator().manual_seed(seed)
    parameters = decay.initial_parameters(context, lambda _: random)
    common = {
        k: v + 0.5 * torch.randn(v.shape, generator=random).double()
        for k, v in decay.initial_model_parameters(context, lambda _: random).items()
    }
    logit = 3 * torch.randn(2, 13, context.size, generator=random, dtype=torch.float64)
    return decay, context, logit, parameters, common


def test_every_decay_has_a_reference():
    assert set(REFERENCES) == set(DECAYS)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("layer", [0, 2, LAYERS - 1])
def test_log_decay_equals_the_formula(name, layer):
    for granularity in DECAYS[name].granularities:
        decay, context, logit, parameters, common = setup(name, {}, granularity, layer)
        seen = {**parameters, **decay.for_layer(common, context)}
        got = decay.apply(logit if decay.data_dependent else None, seen, context).log_decay
        everything = {k: v.numpy() for k, v in {**parameters, **common}.items()}
        expected = REFERENCES[name](logit.numpy(), everything, context)
        np.testing.assert_allclose(got.numpy(), np.broadcast_to(expected, got.shape), rtol=1e-12, atol=1e-14)
        assert (got <= 0).all()


@pytest.mark.parametrize("name", [name for name in DECAYS if DECAYS[name].data_dependent])
def test_extreme_logits_stay_exact_in_float32(name):
    decay, context, _, parameters, common = setup(name, {}, "vector", 2)
    logit = (
        torch.tensor([-60.0, -20, -5, 0, 5, 20, 60], dtype=torch.float64).repeat_interleave(context.size).view(1, 7, -1)
    )
    seen = {**parameters, **decay.for_layer(common, context)}
    exact = decay.apply(logit, seen, context).log_decay
    single = decay.apply(logit.float(), {k: v.float() for k, v in seen.items()}, context).log_decay
    assert torch.isfinite(single).all()
    torch.testing.assert_close(single.double(), exact, rtol=5e-5, atol=1e-30)


def test_options():
    logit = torch.linspace(-4, 4, HEADS * WIDTH, dtype=torch.float64).view(1, 1, -1)
    context = LayerContext(0, LAYERS, HEADS, WIDTH)
    inside = make_decay("gla", {"temperature": "inside"}).apply(logit, {}, context).log_decay
    np.testing.assert_allclose(inside.numpy(), log_sigmoid(logit.numpy() / 16), rtol=1e-12)
    constant = make_decay("constant", {"c": 0.37}).apply(None, {}, context).log_decay
    np.testing.assert_allclose(constant.exp().numpy(), 0.37, rtol=1e-12)
    released = make_decay("tnl-l", {"released": True})
    scalar = LayerContext(1, LAYERS, HEADS, WIDTH, "scalar")
    start = released.initial_parameters(scalar, torch.Generator)
    assert (released.apply(None, start, scalar).log_decay == 0).all()
    rising = {"log_decay": torch.tensor([0.1, 0.0, -0.1])}
    assert (released.apply(None, rising, scalar).log_decay == rising["log_decay"]).all()  # unbounded


def test_own_starts():
    random = torch.Generator().manual_seed(0)
    context = LayerContext(0, 3, 16, 256)
    parameters = make_decay("mamba2").initial_parameters(context, lambda _: random)
    a, dt = parameters["A_log"].exp(), softplus(parameters["delta"].numpy())
    assert 1 <= a.min() < 1.05 and 15.9 < a.max() <= 16 and abs(a.mean() - 8.5) < 0.3  # U(1, 16)
    assert 1e-3 <= dt.min() < 1.02e-3 and 0.098 < dt.max() <= 0.1 + 1e-9
    assert abs(np.log(dt).mean() - np.log(1e-2)) < 0.05  # log-uniform around 0.01
    simple = make_decay("simple", {"p": 0.95}).initial_parameters(context, lambda _: random)
    np.testing.assert_allclose(sigmoid(simple["delta"].numpy()), 0.95, rtol=1e-12)
    hgrn2_decay = make_decay("hgrn2")
    for layer in range(3):
        where = LayerContext(layer, 3, 2, 4)
        bound = hgrn2_decay.for_layer(hgrn2_decay.initial_model_parameters(where, torch.Generator), where)
        value = float(bound["lower_bound"][0]) if layer else 0.0
        assert bool(bound) == (layer > 0)
        assert value == pytest.approx(layer / 3)
    tnl, where = make_decay("tnl"), LayerContext(1, 3, 1, 8, "scalar")
    assert tnl.apply(None, tnl.for_layer({}, where), where).log_decay.item() == pytest.approx(-0.5 * 0.50001)


MATCHABLE = ["mamba2", "mamba2-no-a", "mamba2-no-delta", "mamba2-no-a-no-delta", "gla", "hgrn2", "simple"]


@pytest.mark.parametrize("name", MATCHABLE)
@pytest.mark.parametrize("start", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("layers", [3, 24])
def test_matched_starts_have_the_same_median_in_every_layer(name, start, layers):
    decay = make_decay(name, {"start": start})
    for layer in (0, 1, layers - 1):
        for granularity, heads in (("vector", 2), ("scalar", 2), ("paired", 3)):
            context = LayerContext(layer, layers, heads, 8, granularity)
            random = torch.Generator().manual_seed(layer)
            seen = decay.initial_parameters(context, lambda _, r=random: r)
            seen |= decay.for_layer(decay.initial_model_parameters(context, lambda _, r=random: r), context)
            seen["offset"] = decay.initial_offset(seen, context)
            zero = torch.zeros(1, 1, context.size, dtype=torch.float64)
            median = decay.apply(zero, seen, context).log_decay.exp().quantile(0.5)
            assert float(median) == pytest.approx(start, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in DECAYS if True in DECAYS[name].sharings])
def test_the_shared_key_is_one_minus_decay(name):
    decay, context, logit, parameters, common = setup(name, {}, "vector", 1, sharing=True)
    got = decay.apply(logit, {**parameters, **decay.for_layer(common, context)}, context)
    np.testing.assert_allclose(got.key.numpy(), 1 - np.exp(got.log_decay.numpy()), rtol=1e-9, atol=1e-15)


def test_released_keys():
    for name in ("mamba2", "mamba2-no-a", "mamba2-no-delta", "mamba2-no-a-no-delta"):
        decay, context, logit, parameters, _ = setup(name, {}, "vector", 1, sharing="released")
        key = decay.apply(logit, parameters, context).key.numpy()
        delta = parameters["delta"].numpy() if "delta" in parameters else 0.0
        np.testing.assert_allclose(key, softplus(logit.numpy() + delta), rtol=1e-12)
    decay, context, logit, _, _ = setup("lightnet", {}, "vector", 1, sharing="released")
    f = np.concatenate([np.zeros((2, 1, context.size)), logit.numpy()], axis=1)
    z = np.log(np.cumsum(np.exp(f), axis=1))
    expected = np.exp(f[:, :-1] - z[:, 1:])
    np.testing.assert_allclose(decay.apply(logit, {}, context).key.numpy(), expected, rtol=1e-10)


def test_lightnet_shared_key_keeps_its_digits_late_in_a_long_sequence():
    decay = make_decay("lightnet")
    context = LayerContext(0, 3, 1, 4, "vector", True)
    logit = torch.randn(1, 4096, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = decay.apply(logit, {}, context)
    single = decay.apply(logit.float(), {}, context)
    torch.testing.assert_close(single.key.double(), exact.key, rtol=2e-5, atol=0)
    torch.testing.assert_close(single.log_decay.double(), exact.log_decay, rtol=2e-5, atol=0)


@pytest.mark.parametrize("sharing", [False, True, "released"])
def test_lightnet_goes_on_and_starts_again(sharing):
    decay = make_decay("lightnet")
    context = LayerContext(0, 3, 1, 4, "vector", sharing)
    logit = 4 * torch.randn(3, 37, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole = decay.apply(logit, {}, context)
    first = decay.apply(logit[:, :11], {}, context)
    rest = decay.apply(logit[:, 11:], {}, context, carry=first.carry)
    torch.testing.assert_close(torch.cat((first.log_decay, rest.log_decay), 1), whole.log_decay)
    if sharing:
        torch.testing.assert_close(torch.cat((first.key, rest.key), 1), whole.key)

    # Documents of 1, 12, 1 and 23 tokens: each must be as if it stood alone, in whatever stretches it arrives.
    starts = [0, 1, 13, 14]
    resets = torch.zeros(3, 37, dtype=torch.bool)
    resets[:, starts] = True
    together = decay.apply(logit, {}, context, resets=resets)
    alone = [decay.apply(logit[:, a:b], {}, context) for a, b in zip(starts, [*starts[1:], 37], strict=True)]
    torch.testing.assert_close(together.log_decay, torch.cat([d.log_decay for d in alone], 1))
    if sharing:
        torch.testing.assert_close(together.key, torch.cat([d.key for d in alone], 1))
    head = decay.apply(logit[:, :20], {}, context, resets=resets[:, :20])
    tail = decay.apply(logit[:, 20:], {}, context, carry=head.carry, resets=resets[:, 20:])
    torch.testing.assert_close(torch.cat((head.log_decay, tail.log_decay), 1), together.log_decay)
    # The rows of a batch may have their documents at different places.
    mixed = resets.clone()
    mixed[1] = False
    torch.testing.assert_close(decay.apply(logit, {}, context, resets=mixed).log_decay[1], whole.log_decay[1])
    torch.testing.assert_close(decay.apply(logit, {}, context, resets=mixed).log_decay[0], together.log_decay[0])


def test_lightnet_gradients_through_documents():
    decay = make_decay("lightnet")
    context = LayerContext(0, 3, 1, 2, "vector", True)
    logit = torch.randn(2, 9, 2, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(2, 9, dtype=torch.bool)
    resets[:, [0, 4]] = True
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, :3] = False

    def both(f):
        out = decay.apply(f, {}, context, resets=resets, mask=mask)
        return torch.where(mask[..., None], out.log_decay, 0), torch.where(mask[..., None], out.key, 0)

    assert torch.autograd.gradcheck(both, (logit,))


def test_gradients_are_finite_at_the_start():
    for name in DECAYS:
        if not DECAYS[name].data_dependent:
            continue
        for layer in (0, 1):
            decay, context, logit, parameters, common = setup(name, {}, "vector", layer)
            leaves = {k: v.float().requires_grad_() for k, v in {**parameters, **common}.items()}
            seen = {**{k: leaves[k] for k in parameters}, **decay.for_layer({k: leaves[k] for k in common}, context)}
            f = (20 * logit).float().requires_grad_()
            decay.apply(f, seen, context).log_decay.sum().backward()
            assert torch.isfinite(f.grad).all()
            for key, leaf in leaves.items():
                assert leaf.grad is None or torch.isfinite(leaf.grad).all(), (name, key)

"""LightNet's kernels against float64, on a GPU or under Triton's interpreter.

`test_lightnet_kernels` runs this file in processes of their own: TRITON_INTERPRET=1 is read when Triton is imported.
"""

import os

import pytest
import torch

from decaystudy.decay import LayerContext, make_decay
from decaystudy.decay.lightnet_operator import is_available, lightnet_decay

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


def case(tokens: int, channels: int, scale: float, with_resets: bool):
    generator = torch.Generator().manual_seed(tokens)
    logit = scale * torch.randn(2, tokens, channels, generator=generator)
    start = torch.randn(2, channels, generator=generator)
    resets = torch.rand(2, tokens, generator=generator) < 0.1 if with_resets else None
    return logit.to(DEVICE), start.to(DEVICE), None if resets is None else resets.to(DEVICE)


def one_by_one(logit: torch.Tensor, start: torch.Tensor, resets: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    z, log_decays = start, []
    for t in range(logit.shape[1]):
        if resets is not None:
            z = torch.where(resets[:, t, None], 0.0, z)
        log_decays.append(torch.nn.functional.logsigmoid(z - logit[:, t]))
        z = torch.logaddexp(z, logit[:, t])
    return torch.stack(log_decays, 1), z


@pytest.mark.parametrize("with_resets", [False, True])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
@pytest.mark.parametrize(("tokens", "channels"), [(1, 3), (2, 33), (16, 5), (63, 4), (65, 7), (130, 3)])
def test_log_decays_and_gradients(tokens: int, channels: int, scale: float, with_resets: bool) -> None:
    logit, start, resets = case(tokens, channels, scale, with_resets)
    single = [logit.requires_grad_(), start.requires_grad_()]
    exact = [x.detach().double().requires_grad_() for x in single]
    assert is_available(logit)
    got, expected = lightnet_decay(*single, resets), one_by_one(*exact, resets)
    # float32 knows z and f to 2⁻²⁴ of their size, and 1 − λ is the exponential of their difference.
    rounding = 1.0 + float(expected[1].detach().abs().max()) + float(exact[0].detach().abs().max())
    torch.testing.assert_close(got[0].double(), expected[0], rtol=1e-6 * rounding, atol=1e-30)
    torch.testing.assert_close(got[1].double(), expected[1], rtol=1e-6, atol=1e-6)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).to(DEVICE) for x in got]
    ours = torch.autograd.grad(sum((x * w).sum() for x, w in zip(got, weights, strict=True)), single)
    theirs = torch.autograd.grad(sum((x * w.double()).sum() for x, w in zip(expected, weights, strict=True)), exact)
    for one, other in zip(ours, theirs, strict=True):
        allowed = 1e-6 * rounding * float(other.abs().max()) + 1e-37  # below is nothing in float32
        assert float((one - other).abs().max()) < allowed


def test_a_document_knows_nothing_of_the_one_before() -> None:
    logit, start, _ = case(40, 4, 1.0, False)
    resets = torch.zeros(2, 40, dtype=torch.bool, device=DEVICE)
    resets[:, 25] = True
    loud = logit.clone()
    loud[:, :25] = 1e30
    ours, other = lightnet_decay(logit, start, resets), lightnet_decay(loud, start, resets)
    assert torch.equal(ours[0][:, 25:], other[0][:, 25:])
    assert torch.equal(ours[1], other[1])
    loud.requires_grad_()
    log_decay, final = lightnet_decay(loud, start, resets)
    (gradient,) = torch.autograd.grad(log_decay[:, 25:].sum() + final.sum(), loud)
    assert float(gradient[:, :25].abs().max()) == 0


@pytest.mark.parametrize("sharing", [False, True, "released"])
@pytest.mark.parametrize("with_resets", [False, True])
def test_lightnet_is_the_same(with_resets: bool, sharing: bool | str) -> None:
    """With the kernels in float32, and without them in float64."""
    logit, start, resets = case(130, 8, 2.0, with_resets)
    context = LayerContext(0, 1, 1, 8, sharing=sharing)
    carry = torch.stack((start, start), 1)
    decay = make_decay("lightnet")
    ours = decay.apply(logit, {}, context, carry=carry, resets=resets)
    exact = decay.apply(logit.double(), {}, context, carry=carry.double(), resets=resets)
    torch.testing.assert_close(ours.log_decay.double(), exact.log_decay, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.carry.double(), exact.carry, rtol=1e-5, atol=1e-5)
    if sharing:
        torch.testing.assert_close(ours.key.double(), exact.key, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_resets", [False, True])
def test_the_operator_keeps_pytorchs_rules(with_resets: bool) -> None:
    logit, start, resets = case(20, 3, 1.0, with_resets)
    torch.library.opcheck(lightnet_decay, (logit.requires_grad_(), start.requires_grad_(), resets))

"""LightNet's scans under Triton's interpreter, against float64.

`test_scans` runs this file in a process with TRITON_INTERPRET=1, which Triton reads when it is imported.
"""

import pytest
import torch

from decaystudy.decay import LayerContext, make_decay
from decaystudy.decay.running_log_sum import is_available, running_log_sum


def case(tokens: int, channels: int, scale: float, with_resets: bool):
    generator = torch.Generator().manual_seed(tokens)
    logit = scale * torch.randn(2, tokens, channels, generator=generator)
    start = torch.randn(2, channels, generator=generator)
    resets = torch.rand(2, tokens, generator=generator) < 0.1 if with_resets else None
    return logit, start, resets


def one_by_one(logit: torch.Tensor, start: torch.Tensor, resets: torch.Tensor | None) -> torch.Tensor:
    sums = [start]
    for t in range(logit.shape[1]):
        before = sums[-1]
        if resets is not None:
            before = torch.where(resets[:, t, None], 0.0, before)
        sums.append(torch.logaddexp(before, logit[:, t]))
    return torch.stack(sums, 1)


@pytest.mark.parametrize("with_resets", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
@pytest.mark.parametrize(("tokens", "channels"), [(1, 3), (63, 33), (64, 32), (65, 7), (200, 40)])
def test_sums_and_gradients(tokens: int, channels: int, scale: float, with_resets: bool) -> None:
    logit, start, resets = case(tokens, channels, scale, with_resets)
    single = [logit.requires_grad_(), start.requires_grad_()]
    exact = [x.detach().double().requires_grad_() for x in single]
    assert is_available(logit)
    got, expected = running_log_sum(*single, resets), one_by_one(*exact, resets)
    torch.testing.assert_close(got.double(), expected, rtol=2e-6, atol=1e-5)
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((got * weights).sum(), single)
    theirs = torch.autograd.grad((expected * weights.double()).sum(), exact)
    for one, other in zip(ours, theirs, strict=True):
        # Sums near 300 are known to 300 · 2⁻²⁴ in float32, and gradients are their exponentials.
        assert float((one - other).abs().max()) < 1e-5 * max(1.0, scale) * float(other.abs().max())


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
    logit, start, resets = case(70, 5, 1.0, with_resets)
    torch.library.opcheck(running_log_sum, (logit.requires_grad_(), start.requires_grad_(), resets))

"""The loss in groups of tokens, against the plain one in float64."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from decaystudy.model import linear_cross_entropy
from decaystudy.model.linear_cross_entropy import mean_next_token_loss, next_token_losses_of

VOCABULARY, PADDED = 37, 64


@pytest.fixture(params=[64, 5 * 64, 1 << 28], ids=["one row", "four rows", "all rows"])
def groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_cross_entropy, "GROUP_LOGITS", request.param)


def inputs(dtype: torch.dtype, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 11, 16, generator=generator, dtype=torch.float64).mul(scale).to(dtype)
    weight = torch.randn(PADDED, 16, generator=generator, dtype=torch.float64).to(dtype)
    targets = torch.randint(0, VOCABULARY, (2, 11), generator=generator)
    return x.requires_grad_(), weight.requires_grad_(), targets


def reference(x: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = (x.double() @ weight.double().mT)[..., :VOCABULARY]
    return cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 100.0])
def test_loss_and_gradients_in_float64(groups: None, scale: float) -> None:
    x, weight, targets = inputs(torch.float64, scale)
    loss = mean_next_token_loss(x, weight, targets, VOCABULARY)
    losses = next_token_losses_of(x, weight, targets, VOCABULARY)
    expected = reference(x, weight, targets)
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss, expected.mean(), rtol=1e-12, atol=1e-12)
    actual = torch.autograd.grad(3 * loss, (x, weight))
    wanted = torch.autograd.grad(3 * expected.mean(), (x, weight))
    torch.testing.assert_close(actual, wanted, rtol=1e-11, atol=1e-13)
    assert not actual[1][VOCABULARY:].any()  # padding takes no part


def test_float32_within_its_rounding(groups: None) -> None:
    x, weight, targets = inputs(torch.float32)
    loss = mean_next_token_loss(x, weight, targets, VOCABULARY)
    expected = reference(x, weight, targets).mean()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for actual, wanted in zip(
        torch.autograd.grad(loss, (x, weight)), torch.autograd.grad(expected, (x, weight)), strict=True
    ):
        assert actual.dtype == torch.float32
        assert float((actual - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.mark.parametrize("loss_scale", [1.0, 2.0**-10, 2.0**14])
def test_autocast_keeps_the_sums_in_float32(groups: None, loss_scale: float) -> None:
    """The weight's gradient is a sum over all tokens: bfloat16 rounds its terms, not the sum. A scaled loss, as float16
    needs it, has gradients scaled alike."""
    x, weight, targets = inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = mean_next_token_loss(x, weight, targets, VOCABULARY)
    assert loss.dtype == torch.float32
    rounded = [tensor.detach().bfloat16().double().requires_grad_() for tensor in (x, weight)]
    expected = reference(*rounded, targets).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=2e-2)
    actual = torch.autograd.grad(loss * loss_scale, (x, weight))
    wanted = torch.autograd.grad(expected * loss_scale, rounded)
    for one, other in zip(actual, wanted, strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm() / other.norm()) < 2e-2


def test_gradients_only_where_they_are_wanted() -> None:
    x, weight, targets = inputs(torch.float64)
    for leaf in (x, weight):
        only = [tensor if tensor is leaf else tensor.detach() for tensor in (x, weight)]
        (actual,) = torch.autograd.grad(mean_next_token_loss(*only, targets, VOCABULARY), leaf)
        (wanted,) = torch.autograd.grad(reference(*only, targets).mean(), leaf)
        torch.testing.assert_close(actual, wanted)


def test_a_second_derivative_is_refused() -> None:
    x, weight, targets = inputs(torch.float64)
    (gradient,) = torch.autograd.grad(mean_next_token_loss(x, weight, targets, VOCABULARY), x, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(gradient.sum(), x)

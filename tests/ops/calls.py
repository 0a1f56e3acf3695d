"""Random calls of the attention operators, and their outputs and gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from decaystudy.ops import decay_attention, dplr_attention


def random_call(
    seed: int,
    batch: int = 2,
    tokens: int = 70,
    heads: int = 2,
    keys: int = 5,
    values: int = 7,
    *,
    scalar: bool = False,
    dplr: bool = False,
    strongest: float = 200.0,
    specials: bool = True,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """Arguments by name. Log-decays of all magnitudes down to −`strongest`, and exact 0, −200 and −inf among them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    shape = (batch, tokens, heads) if scalar else (batch, tokens, heads, keys)
    log_decay = -strongest * uniform(*shape) * uniform(batch, tokens, *(1,) * (len(shape) - 2)) ** 8
    if specials:
        draw = uniform(*shape)
        log_decay[draw < 0.06] = 0.0
        log_decay[(draw > 0.06) & (draw < 0.09)] = -200.0
        log_decay[(draw > 0.09) & (draw < 0.12)] = -torch.inf
        # Whole tokens too: a channel that forgets alone hides little.
        log_decay[:, uniform(tokens) < 0.02] = -torch.inf
        log_decay[:, uniform(tokens) < 0.02] = -200.0
    call = {
        "q": normal(batch, tokens, heads, keys),
        "k": normal(batch, tokens, heads, keys),
        "v": normal(batch, tokens, heads, values),
        "log_decay": log_decay,
        "initial_state": normal(batch, heads, keys, values),
    }
    if dplr:
        call["k"] = torch.nn.functional.normalize(call["k"], dim=-1)
        call["beta"] = 2 * uniform(batch, tokens, heads)
    return {name: x.to(dtype) for name, x in call.items()}


def attend(call: dict[str, Tensor], backend: str, resets: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """o and the final state."""
    operator = dplr_attention if "beta" in call else decay_attention
    return operator(**call, resets=resets, return_state=True, backend=backend)


def outputs_and_gradients(
    call: dict[str, Tensor], run: str | Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """o, the final state, and the gradients of a fixed random functional of both, by name.

    Args:
        run: a backend, or a function from the call to o and the final state.
    """
    leaves = {name: x.detach().clone().requires_grad_() for name, x in call.items()}
    o, state = attend(leaves, run) if isinstance(run, str) else run(leaves)
    generator = torch.Generator().manual_seed(7)
    weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x) for x in (o, state)]
    loss = sum((x * weight).sum() for x, weight in zip((o, state), weights, strict=True))
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return {"o": o.detach(), "state": state.detach(), **dict(zip(leaves, gradients, strict=True))}


def relative_errors(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Largest error of each tensor over its largest value; infinite where something isn't finite."""
    errors = {}
    for name, reference in expected.items():
        error = (actual[name].double() - reference.double()).abs().max() / reference.double().abs().max().clamp(
            min=1e-6
        )
        errors[name] = float(error) if torch.isfinite(actual[name]).all() else float("inf")
    return errors

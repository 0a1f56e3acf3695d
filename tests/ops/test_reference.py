"""The recurrent backend against dense formulas in numpy that share nothing with it."""

import numpy as np
import pytest

from decaystudy.ops import decay_attention, dplr_attention
from tests.ops.calls import attend, random_call


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("tokens", [1, 2, 23])
def test_decay_attention_is_the_sum_over_the_past(tokens: int, scalar: bool) -> None:
    call = random_call(tokens, tokens=tokens, scalar=scalar)
    q, k, v, g, s0 = (call[name].numpy() for name in ("q", "k", "v", "log_decay", "initial_state"))
    decay = np.exp(np.broadcast_to(g[..., None], k.shape) if scalar else g)
    expected = np.zeros(v.shape)
    for t in range(tokens):
        between = np.ones(decay[:, 0].shape)  # the product of the decays after token s
        for s in range(t, -1, -1):
            expected[:, t] += np.einsum("bhd,bhd,bhd,bhe->bhe", q[:, t], between, k[:, s], v[:, s])
            between = between * decay[:, s]
        expected[:, t] += np.einsum("bhd,bhd,bhde->bhe", q[:, t], between, s0)
    o, _ = attend(call, "recurrent")
    np.testing.assert_allclose(o.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scalar", [False, True])
def test_dplr_attention_is_a_product_of_matrices(scalar: bool) -> None:
    tokens = 19
    call = random_call(3, tokens=tokens, scalar=scalar, dplr=True)
    q, k, v, g, beta, state = (call[name].numpy() for name in ("q", "k", "v", "log_decay", "beta", "initial_state"))
    decay = np.exp(np.broadcast_to(g[..., None], k.shape) if scalar else g)
    expected = np.zeros(v.shape)
    for b, h in np.ndindex(2, 2):
        s = state[b, h]
        for t in range(tokens):
            key = k[b, t, h][:, None]
            transition = (np.eye(len(key)) - beta[b, t, h] * key @ key.T) @ np.diag(decay[b, t, h])
            s = transition @ s + beta[b, t, h] * key @ v[b, t, h][None]
            expected[b, t, h] = s.T @ q[b, t, h]
    o, final = attend(call, "recurrent")
    np.testing.assert_allclose(o.numpy(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(final[1, 1].numpy(), s, rtol=0, atol=1e-12)


def test_without_correction_dplr_writes_what_decay_attention_writes() -> None:
    """With keys that are orthogonal to all that was written before, DPLR is decay attention with k scaled by β."""
    call = random_call(5, tokens=4, keys=4, scalar=True, dplr=True)
    del call["initial_state"]
    call["k"] = call["k"].new_zeros(call["k"].shape)
    for t in range(4):
        call["k"][:, t, :, t] = 1.0
    o, _ = dplr_attention(**call, backend="recurrent")
    beta = call.pop("beta")
    plain, _ = decay_attention(**(call | {"k": call["k"] * beta[..., None]}), backend="recurrent")
    np.testing.assert_allclose(o.numpy(), plain.numpy(), rtol=0, atol=1e-13)

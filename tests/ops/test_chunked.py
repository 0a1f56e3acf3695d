"""The chunked backend against the recurrent one in float64: exact for every decay, length and gradient."""

import pytest
import torch

from decaystudy.ops import chunked_operator, chunks, decay_attention
from tests.ops.calls import attend, outputs_and_gradients, random_call, relative_errors

KINDS = [
    pytest.param({"scalar": False}, id="channel"),
    pytest.param({"scalar": True}, id="head"),
    pytest.param({"scalar": False, "dplr": True}, id="dplr-channel"),
    pytest.param({"scalar": True, "dplr": True}, id="dplr-head"),
]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two or three chunks, so that short sequences have several."""
    monkeypatch.setitem(chunks.GROUP_ELEMENTS, "cpu", 1 << 12)


def strongest_errors(call: dict[str, torch.Tensor], reference: dict[str, torch.Tensor] | None = None) -> float:
    reference = reference or outputs_and_gradients(call, "recurrent")
    return max(relative_errors(outputs_and_gradients(call, "chunked"), reference).values())


@every_kind
@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 16, 31, 63, 64, 65, 127, 128, 129, 200, 300])
def test_float64_equals_recurrent(tokens: int, kind: dict, small_groups: None) -> None:
    assert strongest_errors(random_call(tokens, tokens=tokens, **kind)) < 1e-10


@every_kind
@pytest.mark.parametrize("seed", range(8))
def test_float64_equals_recurrent_on_random_shapes(seed: int, kind: dict, small_groups: None) -> None:
    draw = torch.Generator().manual_seed(seed)
    batch, tokens, heads, keys, values = (int(torch.randint(1, n, (), generator=draw)) for n in (4, 301, 4, 20, 20))
    call = random_call(seed, batch, tokens, heads, keys, values, strongest=10.0 ** (seed % 4 - 1), **kind)
    assert strongest_errors(call) < 1e-10


@every_kind
@pytest.mark.parametrize("strongest", [1e-4, 0.3, 6.0, 200.0])
def test_float32_is_good_to_1e_5(strongest: float, kind: dict) -> None:
    call = random_call(11, tokens=300, keys=32, values=16, strongest=strongest, **kind)
    reference = outputs_and_gradients({name: x.float().double() for name, x in call.items()}, "recurrent")
    assert strongest_errors({name: x.float() for name, x in call.items()}, reference) < 1e-5


@every_kind
def test_float32_keeps_its_digits_after_a_strong_decay(kind: dict) -> None:
    """Weak decays right after one of −200 in the same chunk: a difference of cumulative sums would lose 1e-5 here."""
    call = random_call(2, tokens=128, keys=16, values=16, specials=False, strongest=2e-4, **kind)
    call["log_decay"][:, 3::40] = -200.0
    call = {name: x.float() for name, x in call.items()}
    reference = outputs_and_gradients({name: x.double() for name, x in call.items()}, "recurrent")
    assert strongest_errors(call, reference) < 1e-5


@every_kind
def test_float32_does_not_drift_over_a_constant_decay(kind: dict) -> None:
    """λ just below one rounds the same way at every token; a product of rounded λ would be off by 1e-4 here."""
    call = random_call(4, batch=1, tokens=4000, heads=1, keys=4, values=4, specials=False, **kind)
    call["log_decay"].fill_(-1.0e-4)
    o = attend({name: x.float() for name, x in call.items()}, "chunked")[0]
    assert relative_errors({"o": o}, {"o": attend(call, "recurrent")[0]})["o"] < 1e-5


@every_kind
def test_gradients_pass_gradcheck(kind: dict) -> None:
    call = random_call(1, batch=1, tokens=6, heads=2, keys=3, values=2, strongest=2.0, specials=False, **kind)
    if kind["scalar"]:
        call["log_decay"] = call["log_decay"].unsqueeze(-1)
    names = ["q", "k", "v", "log_decay", *(["beta"] if "beta" in call else []), "initial_state"]
    function = chunked_operator.dplr_attention if "beta" in call else chunked_operator.decay_attention
    assert torch.autograd.gradcheck(function, [call[name].requires_grad_() for name in names])


@every_kind
def test_a_reset_cuts_the_past_off(kind: dict) -> None:
    call = random_call(6, tokens=100, **kind)
    call["log_decay"][:, 70] = -torch.inf
    call["initial_state"].fill_(1e30)
    leaves = {name: x.clone().requires_grad_() for name, x in call.items()}
    o, _ = attend(leaves, "chunked")
    after = {name: x[:, 70:] for name, x in call.items() if name != "initial_state"}
    torch.testing.assert_close(o[:, 70:], attend(after, "recurrent")[0], rtol=0, atol=1e-10)
    gradients = dict(zip(leaves, torch.autograd.grad(o[:, 70:].square().sum(), list(leaves.values())), strict=True))
    for name, gradient in gradients.items():
        past = gradient if name == "initial_state" else gradient[:, : 71 if name == "log_decay" else 70]
        assert torch.equal(past, torch.zeros_like(past)), name


@every_kind
def test_causality_is_exact(kind: dict, small_groups: None) -> None:
    """Changing token t, its decay included, leaves every bit before t as it was."""
    for dtype in (torch.float64, torch.float32):
        call = random_call(8, tokens=150, keys=16, values=16, dtype=dtype, **kind)
        before = attend(call, "chunked")[0]
        other = random_call(9, tokens=150, keys=16, values=16, dtype=dtype, **kind)
        for t in (1, 63, 64, 65, 100, 149):
            changed = {name: x.clone() for name, x in call.items()}
            for name in set(changed) - {"initial_state"}:
                changed[name][:, t] = other[name][:, t]
            for decay in (-torch.inf, -200.0, 0.0):
                changed["log_decay"][:, t] = decay
                assert torch.equal(attend(changed, "chunked")[0][:, :t], before[:, :t])


@every_kind
@pytest.mark.parametrize("cut", [1, 40, 64, 121, 149])
def test_a_sequence_in_two_parts_equals_the_whole(cut: int, kind: dict) -> None:
    call = random_call(cut, tokens=150, **kind)
    whole, final = attend(call, "chunked")
    state, parts = call.pop("initial_state"), []
    for part in (slice(0, cut), slice(cut, None)):
        o, state = attend({name: x[:, part] for name, x in call.items()} | {"initial_state": state}, "chunked")
        parts.append(o)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-11)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-11)


@every_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_inputs_are_computed_in_float32(dtype: torch.dtype, kind: dict) -> None:
    call = random_call(12, tokens=150, keys=16, values=16, strongest=1.0, dtype=torch.float32, **kind)
    low = call | {name: call[name].to(dtype) for name in ("q", "k", "v")}
    results = outputs_and_gradients(low, "chunked")
    assert results["o"].dtype == dtype and results["state"].dtype == torch.float32
    assert {name: results[name].dtype for name in low} == {name: x.dtype for name, x in low.items()}
    exact = attend({name: x.double() for name, x in low.items()}, "recurrent")
    assert relative_errors({"s": results["state"]}, {"s": exact[1]})["s"] < 1e-5
    # Nothing but the rounding of o itself.
    torch.testing.assert_close(results["o"], exact[0].to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-4)


def test_autocast_changes_nothing() -> None:
    call = random_call(13, tokens=90, dtype=torch.float32)
    plain = outputs_and_gradients(call, "chunked")
    with torch.autocast("cpu", torch.bfloat16):
        cast = outputs_and_gradients(call, "chunked")
    assert all(torch.equal(cast[name], x) for name, x in plain.items())


def test_strided_and_expanded_inputs() -> None:
    call = random_call(14, tokens=80, scalar=False, keys=6, values=6)
    strided = {name: x.transpose(1, 2).contiguous().transpose(1, 2) for name, x in call.items()}
    strided["k"] = call["k"][:, :, :1].expand_as(call["k"])
    dense = strided | {"k": strided["k"].contiguous()}
    assert torch.equal(attend(strided, "chunked")[0], attend(dense, "chunked")[0])


def test_one_decay_a_head_equals_the_same_for_every_channel() -> None:
    call = random_call(15, tokens=90, scalar=True)
    expanded = call | {"log_decay": call["log_decay"].unsqueeze(-1).expand_as(call["k"]).contiguous()}
    torch.testing.assert_close(attend(call, "chunked")[0], attend(expanded, "chunked")[0], rtol=0, atol=1e-11)


def test_a_single_channel() -> None:
    call = random_call(16, tokens=90, keys=1, scalar=True)
    assert strongest_errors(call) < 1e-10
    assert strongest_errors(call | {"log_decay": call["log_decay"].unsqueeze(-1)}) < 1e-10


def test_gradients_that_are_not_wanted_cost_nothing_else() -> None:
    call = random_call(17, tokens=30)
    v = call["v"].clone().requires_grad_()
    o, state = decay_attention(**(call | {"v": v}), backend="chunked")
    assert state is None
    o.sum().backward()
    assert torch.isfinite(v.grad).all()


@every_kind
def test_a_compiled_graph_is_whole(kind: dict) -> None:
    """No graph break, and the same bits forward and backward."""
    call = random_call(3, tokens=70, dtype=torch.float32, **kind)
    expected = outputs_and_gradients(call, "chunked")
    compiled = torch.compile(lambda call: attend(call, "chunked"), backend="aot_eager", fullgraph=True)
    actual = outputs_and_gradients(call, compiled)
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


@every_kind
def test_the_operator_keeps_pytorchs_rules(kind: dict) -> None:
    """Schema, shapes without data, and the registration of gradients, as PyTorch's own checker has them."""
    call = random_call(3, batch=1, tokens=6, dtype=torch.float32, **kind)
    if kind["scalar"]:
        call["log_decay"] = call["log_decay"].unsqueeze(-1)
    names = ["q", "k", "v", "log_decay", *(["beta"] if "beta" in call else []), "initial_state"]
    operator = chunked_operator._dplr if "beta" in call else chunked_operator._plain
    torch.library.opcheck(operator, (*(call[name].requires_grad_() for name in names), True))

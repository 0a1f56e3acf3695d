"""The Triton kernels under Triton's interpreter, against the recurrence in float64.

`test_triton` runs this file in a process with TRITON_INTERPRET=1, which Triton reads when it is imported. The
interpreter runs a kernel's programs one after another in NumPy: shapes are small here.
"""

from collections.abc import Callable

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.ops import decay_attention
from tests.ops.calls import attend, outputs_and_gradients, random_call, relative_errors
from tests.ops.documents import documents_alone
from tests.ops.test_resets import CASES, resets_at

Call = dict[str, Tensor]
STRENGTHS = [-1e-6, -0.3, -5.0, -20.0, -200.0, 0.0, -torch.inf]
scalar_or_not = pytest.mark.parametrize("scalar", [False, True], ids=["channel", "head"])


def small_call(seed: int = 0, *, tokens: int = 70, **options: object) -> Call:
    sizes = {"batch": 1, "heads": 1, "keys": 16, "values": 16, "dtype": torch.float32}
    return random_call(seed, tokens=tokens, **(sizes | options))


def with_triton(call: Call, resets: Tensor | None = None) -> Call:
    return outputs_and_gradients(call, lambda leaves: attend(leaves, "triton", resets))


def in_float64(call: Call, resets: Tensor | None = None) -> Call:
    exact = {name: x.double() for name, x in call.items()}
    return outputs_and_gradients(exact, lambda leaves: attend(leaves, "recurrent", resets))


def assert_exact(call: Call, resets: Tensor | None = None) -> None:
    errors = relative_errors(with_triton(call, resets), in_float64(call, resets))
    assert max(errors.values()) < 1e-5, errors


@scalar_or_not
@pytest.mark.parametrize("tokens", [1, 2, 16, 33, 64, 65, 129])
def test_it_is_the_recurrence_at_any_length(tokens: int, scalar: bool) -> None:
    assert_exact(small_call(tokens, tokens=tokens, heads=2, scalar=scalar))


@scalar_or_not
@pytest.mark.parametrize(("keys", "values"), [(16, 48), (80, 16), (48, 64), (33, 96), (192, 17), (16, 256)])
def test_it_is_the_recurrence_at_any_width(keys: int, values: int, scalar: bool) -> None:
    assert_exact(small_call(keys, keys=keys, values=values, scalar=scalar), resets_at(70, [5, 66]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_recurrence_for_random_calls(seed: int) -> None:
    def draw(*choices: int) -> int:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    generator = torch.Generator().manual_seed(seed)
    widths = (16, 17, 32, 48, 64, 80, 96, 128, 192, 256)
    tokens = draw(1, 3, 15, 31, 32, 47, 63, 64, 65, 96, 127, 128, 130, 193, 300)
    call = random_call(
        seed,
        batch=draw(1, 2),
        tokens=tokens,
        heads=draw(1, 3),
        keys=draw(*widths),
        values=draw(*widths),
        scalar=seed % 3 == 0,
        dtype=torch.float32,
    )
    some = torch.rand(call["q"].shape[:2], generator=generator) < 0.05
    assert_exact(call, some if seed % 2 else None)


@scalar_or_not
@pytest.mark.parametrize("strength", STRENGTHS)
def test_every_strength_of_decay(strength: float, scalar: bool) -> None:
    call = small_call(1, scalar=scalar)
    call["log_decay"] = torch.full_like(call["log_decay"], strength)
    assert_exact(call)
    assert_exact(call, resets_at(70, [0, 40, 41]))


@scalar_or_not
def test_all_strengths_side_by_side(scalar: bool) -> None:
    call = small_call(2, tokens=130, scalar=scalar)
    draw = torch.randint(len(STRENGTHS), call["log_decay"].shape, generator=torch.Generator().manual_seed(0))
    call["log_decay"] = torch.tensor(STRENGTHS)[draw]
    assert_exact(call)


@scalar_or_not
@pytest.mark.parametrize("strong", [-700.0, -9000.0, -1e6])
def test_a_strong_decay_costs_weak_ones_no_digits(strong: float, scalar: bool) -> None:
    call = small_call(17, tokens=80, scalar=scalar)
    call["log_decay"] = torch.full_like(call["log_decay"], -0.01)
    call["log_decay"][:, 3], call["log_decay"][:, 50] = strong, -0.7
    assert_exact(call)


@scalar_or_not
@pytest.mark.parametrize("resets", CASES)
def test_documents_are_as_if_alone(resets: Tensor, scalar: bool) -> None:
    call = small_call(3, batch=resets.shape[0], tokens=resets.shape[1], scalar=scalar)
    exact = {name: x.double() for name, x in call.items()}
    got = with_triton(call, resets)
    expected = outputs_and_gradients(exact, lambda leaves: documents_alone(leaves, resets))
    errors = relative_errors(got, expected)
    assert max(errors.values()) < 1e-5, errors
    assert not got["log_decay"][resets].any()


@scalar_or_not
@pytest.mark.parametrize("forgotten_by", ["reset", "-inf", "-200"])
@pytest.mark.parametrize("huge", ["q", "k", "v", "initial_state"])
def test_nothing_crosses_however_large(huge: str, forgotten_by: str, scalar: bool) -> None:
    """Numbers of 1e30 that are forgotten change no bit of what comes later, and get no gradient from there."""
    place = 37
    call = small_call(4, specials=False, scalar=scalar)
    resets = resets_at(70, [place]) if forgotten_by == "reset" else None
    if resets is None:
        call["log_decay"][:, place] = float(forgotten_by)
    changed = call | {huge: torch.full_like(call[huge], 1e30)}
    if huge != "initial_state":
        changed[huge][:, place:] = call[huge][:, place:]
    found = []
    for inputs in (call, changed):
        leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
        o, state = attend(leaves, "triton", resets)
        loss = o[:, place:].square().sum() + state.square().sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        found.append({"o": o[:, place:], "state": state, **dict(zip(leaves, gradients, strict=True))})
    for name, x in found[0].items():
        assert torch.equal(found[1][name], x), name
    for name in call:
        before = found[1][name] if name == "initial_state" else found[1][name][:, :place]
        assert not before.any(), name


@scalar_or_not
def test_no_bit_depends_on_a_later_token(scalar: bool) -> None:
    call, other = small_call(5, tokens=130, scalar=scalar), small_call(6, tokens=130, scalar=scalar)
    whole = attend(call, "triton")[0]
    for place in (1, 17, 64, 100):
        changed = {name: x.clone() for name, x in call.items()}
        for name in ("q", "k", "v", "log_decay"):
            changed[name][:, place:] = other[name][:, place:]
        assert torch.equal(attend(changed, "triton")[0][:, :place], whole[:, :place])


@scalar_or_not
def test_a_sequence_in_two_parts_equals_the_whole(scalar: bool) -> None:
    call = small_call(7, tokens=100, scalar=scalar)
    whole, final = attend(call, "triton")
    state, parts = call.pop("initial_state"), []
    for part in (slice(0, 37), slice(37, 100)):
        o, state = attend({name: x[:, part] for name, x in call.items()} | {"initial_state": state}, "triton")
        parts.append(o)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-5)


@scalar_or_not
def test_without_an_initial_state_or_a_final_one(scalar: bool) -> None:
    call = small_call(8, scalar=scalar)
    zeros = call | {"initial_state": torch.zeros_like(call["initial_state"])}
    del call["initial_state"]
    o, state = decay_attention(**call, backend="triton")
    assert state is None and torch.equal(o, attend(zeros, "triton")[0])
    assert_exact(call)


def expanded(call: Call) -> Call:
    return call | {name: call[name][:, :, :1].expand_as(call[name]) for name in ("q", "k", "v", "log_decay")}


def strided(call: Call) -> Call:
    """Time outermost, and channels two apart."""
    apart = {
        name: torch.stack((x, x), -1).transpose(0, 1).contiguous().transpose(0, 1)[..., 0] for name, x in call.items()
    }
    assert not any(x.is_contiguous() for x in apart.values())
    return apart


@scalar_or_not
@pytest.mark.parametrize("view", [expanded, strided])
def test_views_give_the_same_bits(view: Callable[[Call], Call], scalar: bool) -> None:
    """Outputs, and gradients that flow back through the views."""
    call = small_call(9, batch=2, heads=2, scalar=scalar)
    of_views = outputs_and_gradients(call, lambda leaves: attend(view(leaves), "triton"))
    of_copies = outputs_and_gradients(
        call, lambda leaves: attend({name: x.contiguous() for name, x in view(leaves).items()}, "triton")
    )
    assert all(torch.equal(of_views[name], x) for name, x in of_copies.items())


@scalar_or_not
@pytest.mark.parametrize("wanted", [("q",), ("k",), ("v",), ("log_decay",), ("initial_state",), ("k", "log_decay")])
def test_only_wanted_gradients_are_made(wanted: tuple[str, ...], scalar: bool) -> None:
    call = small_call(10, scalar=scalar)
    expected = with_triton(call)
    leaves = {name: x.clone().requires_grad_(name in wanted) for name, x in call.items()}
    outputs = outputs_and_gradients(
        {name: leaves[name] for name in wanted}, lambda some: attend(leaves | some, "triton")
    )
    assert all(torch.equal(outputs[name], expected[name]) for name in outputs)


def test_only_the_final_state_may_be_used() -> None:
    call = {name: x.requires_grad_() for name, x in small_call(11).items()}
    got = torch.autograd.grad(attend(call, "triton")[1].sum(), [call["k"], call["initial_state"]])
    expected = torch.autograd.grad(attend(call, "recurrent")[1].sum(), [call["k"], call["initial_state"]])
    for x, y in zip(got, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-5)


def test_autocast_changes_nothing() -> None:
    call = small_call(12)
    expected = with_triton(call)
    with torch.autocast("cpu", torch.bfloat16):
        got = with_triton(call)
    assert all(torch.equal(got[name], x) for name, x in expected.items())


def test_twice_is_refused() -> None:
    call = {name: x.requires_grad_() for name, x in small_call(13).items()}
    (once,) = torch.autograd.grad(attend(call, "triton")[0].square().sum(), call["q"], create_graph=True)
    with pytest.raises(UserError, match="differentiable once"):
        once.sum().backward()


@scalar_or_not
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pytorch_accepts_the_operator(dtype: torch.dtype, scalar: bool) -> None:
    from decaystudy.ops.triton_operator import _forward

    call = small_call(14, scalar=scalar)
    for name in ("q", "k", "v"):
        call[name] = call[name].to(dtype)
    call = {name: x.requires_grad_() for name, x in call.items()}
    arguments = (call["q"], call["k"], call["v"], call["log_decay"], resets_at(70, [3]), call["initial_state"], True)
    torch.library.opcheck(_forward, arguments)


def test_a_compiled_graph_is_whole() -> None:
    call = small_call(15)
    expected = attend(call, "triton")
    compiled = torch.compile(lambda call: attend(call, "triton"), backend="aot_eager", fullgraph=True)
    assert all(torch.equal(x, y) for x, y in zip(compiled(call), expected, strict=True))


def test_a_compiled_graph_serves_every_length() -> None:
    """Forward and backward: once for the first length, once for all."""
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda call: attend(call, "triton"), backend=counter, fullgraph=True)
    for tokens in (70, 33, 65, 128, 80):
        call = small_call(tokens, tokens=tokens)
        got, expected = outputs_and_gradients(call, compiled), with_triton(call)
        assert all(torch.equal(got[name], x) for name, x in expected.items())
    assert counter.frame_count <= 2


@scalar_or_not
def test_half_precision_costs_little_more_than_rounding(scalar: bool) -> None:
    """bfloat16 and float16 calls, which the interpreter imitates, against exact results of the same rounded inputs."""
    for dtype, unit in ((torch.bfloat16, 2.0**-8), (torch.float16, 2.0**-11)):
        call = small_call(16, tokens=130, keys=32, strongest=1.0, specials=False, scalar=scalar)
        call |= {name: call[name].to(dtype) for name in ("q", "k", "v")}
        got, expected = with_triton(call), in_float64(call)
        # float16 has no more bits than TF32, in which factors are rounded: three roundings weigh like that of a result.
        times = 2 if dtype == torch.bfloat16 else 2.5
        for name, exact in expected.items():
            error = (got[name].double() - exact).square().mean().sqrt()
            if got[name].dtype == dtype:
                rounding = (exact.to(dtype).double() - exact).square().mean().sqrt()
                assert error < times * rounding, (name, dtype)
            else:
                assert error < 8 * unit * exact.square().mean().sqrt(), (name, dtype)


def test_what_it_cannot_serve_is_named() -> None:
    for changes, words in (
        ({"keys": 8}, "16 to 256 channels per head, not 8 and 16"),
        ({"values": 257}, "not 16 and 257"),
        ({"dtype": torch.float64}, "no float64"),
        ({"dplr": True}, "no DPLR attention"),
    ):
        with pytest.raises(UserError, match=words):
            attend(small_call(tokens=3, **changes), "triton")

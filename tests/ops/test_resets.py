"""Resets in every backend that runs on a CPU, against documents computed one by one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.ops import chunked, chunked_dplr, chunks, fla_kernels, fla_operator
from decaystudy.ops.call import AttentionCall
from tests.ops.calls import attend, outputs_and_gradients, random_call, relative_errors
from tests.ops.documents import documents_alone

KINDS = [
    pytest.param({"scalar": False}, id="channel"),
    pytest.param({"scalar": True}, id="head"),
    pytest.param({"scalar": False, "dplr": True}, id="dplr-channel"),
    pytest.param({"scalar": True, "dplr": True}, id="dplr-head"),
]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_backend = pytest.mark.parametrize("backend", ["recurrent", "chunked"])


def resets_at(tokens: int, *rows: list[int]) -> Tensor:
    resets = torch.zeros(len(rows), tokens, dtype=torch.bool)
    for row, places in enumerate(rows):
        resets[row, places] = True
    return resets


CASES = [
    pytest.param(resets_at(1, [0], []), id="one-token"),
    pytest.param(resets_at(2, [1], [0, 1]), id="two-tokens"),
    pytest.param(resets_at(5, [], [0]), id="first-token"),
    pytest.param(resets_at(31, [3, 4, 5, 30], [17]), id="adjacent-and-last"),
    pytest.param(resets_at(65, [64], [63]), id="around-the-chunk"),
    pytest.param(resets_at(131, [0, 7, 20, 21, 64, 100], []), id="several-in-a-chunk"),
    pytest.param(torch.ones(2, 9, dtype=torch.bool), id="everywhere"),
    pytest.param(torch.zeros(2, 9, dtype=torch.bool), id="nowhere"),
]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two or three chunks, so that short sequences have several."""
    monkeypatch.setitem(chunks.GROUP_ELEMENTS, "cpu", 1 << 12)


@every_backend
@every_kind
@pytest.mark.parametrize("resets", CASES)
def test_documents_are_as_if_alone(resets: Tensor, kind: dict, backend: str) -> None:
    """Outputs, final state and every gradient, with decays of 0, −200 and −inf among the others."""
    call = random_call(resets.shape[1], tokens=resets.shape[1], **kind)
    expected = outputs_and_gradients(call, lambda leaves: documents_alone(leaves, resets))
    got = outputs_and_gradients(call, lambda leaves: attend(leaves, backend, resets))
    assert max(relative_errors(got, expected).values()) < 1e-10
    at_resets = got["log_decay"][resets]
    assert torch.equal(at_resets, torch.zeros_like(at_resets))


@every_kind
@pytest.mark.parametrize("backend", ["recurrent", "chunked", "auto"])
def test_a_reset_is_a_decay_of_minus_infinity(kind: dict, backend: str) -> None:
    resets = resets_at(70, [0, 9, 10, 69], [33])
    call = random_call(1, tokens=70, **kind)
    forgets = call["log_decay"].clone()
    forgets[resets] = -torch.inf
    by_decay = outputs_and_gradients(call | {"log_decay": forgets}, lambda leaves: attend(leaves, backend))
    by_reset = outputs_and_gradients(call, lambda leaves: attend(leaves, backend, resets))
    assert all(torch.equal(by_reset[name], x) for name, x in by_decay.items())


@every_backend
@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("huge", ["q", "k", "v", "initial_state"])
def test_nothing_crosses_however_large(huge: str, dtype: torch.dtype, kind: dict, backend: str) -> None:
    """Numbers of 1e30 before a reset leave every bit after it as it was, and get no gradient from there."""
    if huge == "k" and "dplr" in kind:
        pytest.skip("DPLR needs keys of unit length")
    place = 37
    resets = resets_at(100, [place], [place])
    call = random_call(5, tokens=100, specials=False, dtype=dtype, **kind)
    changed = call | {huge: call[huge].clone()}
    changed[huge] = torch.full_like(call[huge], 1e30)
    if huge != "initial_state":
        changed[huge][:, place:] = call[huge][:, place:]
    found = []
    for inputs in (call, changed):
        leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
        o, state = attend(leaves, backend, resets)
        after = o[:, place:]
        gradients = torch.autograd.grad(after.square().sum() + state.square().sum(), list(leaves.values()))
        found.append({"o": after, "state": state, **dict(zip(leaves, gradients, strict=True))})
    for name, x in found[0].items():
        assert torch.equal(found[1][name], x), name
    for name in call:
        before = found[1][name] if name == "initial_state" else found[1][name][:, :place]
        assert torch.equal(before, torch.zeros_like(before)), name


@every_kind
def test_resets_keep_causality_exact(kind: dict) -> None:
    """A reset changes no bit of what came before it."""
    call = random_call(8, tokens=150, dtype=torch.float32, **kind)
    plain = attend(call, "chunked")[0]
    for place in (1, 63, 64, 65, 149):
        resets = resets_at(150, [place], [place])
        assert torch.equal(attend(call, "chunked", resets)[0][:, :place], plain[:, :place])


@every_kind
def test_a_sequence_in_two_parts_equals_the_whole(kind: dict) -> None:
    resets = resets_at(90, [0, 20, 41], [40])
    call = random_call(9, tokens=90, **kind)
    whole, final = attend(call, "chunked", resets)
    state, parts = call.pop("initial_state"), []
    for part in (slice(0, 40), slice(40, 41), slice(41, 90)):
        inputs = {name: x[:, part] for name, x in call.items()} | {"initial_state": state}
        o, state = attend(inputs, "auto", resets[:, part])
        parts.append(o)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-11)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("resets", "words"),
    [
        (torch.zeros(2, 7, dtype=torch.bool), ["resets has shape (2, 7)", "(2, 6)"]),
        (torch.zeros(2, 6, 3, dtype=torch.bool), ["resets has shape (2, 6, 3)", "(2, 6)"]),
        (torch.zeros(2, 6, dtype=torch.long), ["resets is int64", "bool"]),
        (torch.zeros(2, 6, dtype=torch.bool, device="meta"), ["resets is on meta and q on cpu"]),
    ],
)
def test_mistakes_are_named_in_one_sentence(resets: Tensor, words: list[str]) -> None:
    for dplr in (False, True):
        with pytest.raises(UserError) as caught:
            attend(random_call(0, tokens=6, heads=3, dplr=dplr), "auto", resets)
        message = str(caught.value)
        assert all(word in message for word in words) and "\n" not in message


class WithItsOwnBackward(torch.autograd.Function):
    """The passes of `chunked` or `chunked_dplr`, as flash-linear-attention packs its own."""

    @staticmethod
    def forward(ctx, q, k, v, g, *more):
        *beta, initial_state = more
        ctx.module, ctx.shape = chunked_dplr if beta else chunked, g.shape
        ctx.inputs = (q, k, v, g if g.dim() == 4 else g.unsqueeze(-1), *beta)
        o, state, ctx.kept = ctx.module.forward(*ctx.inputs, initial_state, True)
        return o, state

    @staticmethod
    def backward(ctx, d_o, d_state):
        d_q, d_k, d_v, d_g, *more = ctx.module.backward(d_o, d_state, *ctx.inputs, ctx.kept)
        return d_q, d_k, d_v, d_g.view(ctx.shape), *more


@pytest.mark.parametrize("operator", [False, True], ids=["called", "operator"])
@pytest.mark.parametrize("hopper", [False, True])
@every_kind
def test_flas_kernels_get_a_finite_decay_without_gradient_there(
    kind: dict, hopper: bool, operator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter alone: the kernels need a GPU, so `chunked` stands in for them. ``operator`` is what compiled models
    call."""
    call = random_call(3, tokens=40, dtype=torch.float32, **kind)
    call["log_decay"][:, 5] = -torch.inf
    call["log_decay"][:, 6] = -1e4
    resets = resets_at(40, [0, 7, 8], [39])
    received = []

    def stand_in(family: str) -> Callable[..., tuple[Tensor, Tensor]]:
        assert family == ("kda" if "dplr" in kind else "simple_gla" if kind["scalar"] and not hopper else "gla")

        def kernel(*, q, k, v, g, scale, initial_state, output_final_state, **beta):
            assert scale == 1.0 and output_final_state
            received.append(g)
            return WithItsOwnBackward.apply(q, k, v, g, *beta.values(), initial_state)

        return kernel

    monkeypatch.setattr(fla_kernels, "_kernel", stand_in)
    monkeypatch.setattr(fla_kernels, "_scalar_kernel_is_wrong", lambda device: hopper)
    kernels = fla_operator if operator else fla_kernels
    got = outputs_and_gradients(
        call, lambda leaves: kernels.attend(*fla_kernels.inputs(AttentionCall(**leaves, resets=resets)))
    )
    exact = {name: x.double() for name, x in call.items()}
    expected = outputs_and_gradients(exact, lambda leaves: documents_alone(leaves, resets))
    assert torch.isfinite(received[0]).all() and (received[0][resets] == -200).all()
    assert max(relative_errors(got, expected).values()) < 1e-5
    forgets = torch.isneginf(call["log_decay"])
    forgets[resets] = True
    assert torch.equal(got["log_decay"][forgets], torch.zeros(int(forgets.sum())))

"""flash-linear-attention's kernels against the recurrent backend, on a GPU; and what the adapter refuses."""

import pytest
import torch

from decaystudy.errors import UserError
from decaystudy.ops import fla_kernels
from decaystudy.ops.call import AttentionCall
from tests.ops.calls import attend, outputs_and_gradients, random_call, relative_errors

Tensors = dict[str, torch.Tensor]

gpu = pytest.mark.gpu
KINDS = [
    pytest.param({"scalar": False}, id="channel"),
    pytest.param({"scalar": True}, id="head"),
    pytest.param({"scalar": False, "dplr": True}, id="dplr-channel"),
    pytest.param({"scalar": True, "dplr": True}, id="dplr-head"),
]


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    pytest.importorskip("fla", reason="needs flash-linear-attention")
    return torch.device("cuda")


def gpu_call(cuda: torch.device, dtype: torch.dtype, strongest: float = 1.0, **kind: bool) -> Tensors:
    call = random_call(0, tokens=300, keys=64, values=64, strongest=strongest, specials=False, **kind)
    if strongest > 1:
        draw = torch.rand(call["log_decay"].shape, generator=torch.Generator().manual_seed(3))
        call["log_decay"][draw < 0.06] = 0.0
        call["log_decay"][draw > 0.97] = -strongest
    call = {name: x.to(cuda, torch.float32) for name, x in call.items()}
    return call | {name: call[name].to(dtype) for name in ("q", "k", "v")}


def rms_errors(actual: Tensors, expected: Tensors) -> dict[str, float]:
    """Root mean square of each tensor's error over that of the tensor, the measure of FLA's own tests."""
    return {
        name: float((actual[name].double() - reference).square().mean().sqrt() / reference.square().mean().sqrt())
        for name, reference in expected.items()
    }


def refusal(call: Tensors) -> str | None:
    return fla_kernels.refusal(AttentionCall(**call).facts)


@gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strongest", [0.0, 1.0, 200.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"])
def test_kernels_equal_recurrent(
    cuda: torch.device, dtype: torch.dtype, tolerance: float, strongest: float, kind: dict
) -> None:
    call = gpu_call(cuda, dtype, strongest, **kind)
    if reason := refusal(call):
        with pytest.raises(UserError, match="can't serve"):
            attend(call, "fla")
        pytest.skip(reason)
    reference = outputs_and_gradients({name: x.double() for name, x in call.items()}, "recurrent")
    results = outputs_and_gradients(call, "fla")
    assert results["o"].dtype == dtype and results["state"].dtype == torch.float32
    errors = rms_errors(results, reference)
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert max(errors.values()) < tolerance


@gpu
@pytest.mark.parametrize("kind", KINDS)
def test_chunked_is_exact_on_cuda(cuda: torch.device, kind: dict) -> None:
    call = {name: x.to(cuda) for name, x in random_call(0, tokens=200, **kind).items()}
    reference = outputs_and_gradients(call, "recurrent")
    assert max(relative_errors(outputs_and_gradients(call, "chunked"), reference).values()) < 1e-10
    single = {name: x.float() for name, x in call.items()}
    reference = outputs_and_gradients({name: x.double() for name, x in single.items()}, "recurrent")
    assert max(relative_errors(outputs_and_gradients(single, "chunked"), reference).values()) < 1e-5


@gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.bfloat16, 2e-2)], ids=["fp32", "bf16"])
def test_kernels_forget_at_resets_and_at_minus_infinity(
    cuda: torch.device, dtype: torch.dtype, tolerance: float, kind: dict
) -> None:
    call = gpu_call(cuda, dtype, **kind)
    if reason := refusal(call):
        pytest.skip(reason)
    resets = torch.zeros(2, 300, dtype=torch.bool, device=cuda)
    resets[0, [0, 1, 64, 100, 101, 299]] = True
    resets[1, 130] = True
    call["log_decay"][:, 200] = -torch.inf
    call["initial_state"][0] = 1e30
    reference = outputs_and_gradients(
        {name: x.double() for name, x in call.items()}, lambda leaves: attend(leaves, "recurrent", resets)
    )
    results = outputs_and_gradients(call, lambda leaves: attend(leaves, "fla", resets))
    # The reset at the first token cuts the 1e30 off.
    assert torch.equal(results["initial_state"][0], torch.zeros_like(results["initial_state"][0]))
    forgotten = results["log_decay"][resets]
    assert torch.equal(forgotten, torch.zeros_like(forgotten))
    errors = rms_errors(results, reference)
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert max(errors.values()) < tolerance


@gpu
def test_auto_takes_our_own_kernels_with_resets_too(cuda: torch.device) -> None:
    call = gpu_call(cuda, torch.bfloat16)
    resets = torch.zeros(2, 300, dtype=torch.bool, device=cuda)
    resets[:, 100] = True
    assert torch.equal(attend(call, "auto", resets)[0], attend(call, "triton", resets)[0])


@gpu
def test_auto_rounds_dplr_in_float32_only_if_it_may(cuda: torch.device) -> None:
    call = gpu_call(cuda, torch.float32, dplr=True)
    assert torch.equal(attend(call, "auto")[0], attend(call, "chunked")[0])
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert torch.equal(attend(call, "auto")[0], attend(call, "fla")[0])
    finally:
        torch.set_float32_matmul_precision(before)
    single = {name: x.bfloat16() if name in "qkv" else x for name, x in call.items()}
    assert torch.equal(attend(single, "auto")[0], attend(single, "fla")[0])


@gpu
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda call: {name: x.double() for name, x in call.items()}, "float64"),
        (lambda call: call | {n: call[n].repeat(1, 1, 1, 5) for n in ("q", "k", "log_decay")}, "16 to 256"),
        (lambda call: call | {n: call[n][..., :8].contiguous() for n in ("q", "k", "log_decay")}, "16 to 256"),
    ],
)
def test_what_the_kernels_lack_is_refused(cuda: torch.device, change, word: str) -> None:
    call = gpu_call(cuda, torch.float32)
    del call["initial_state"]
    with pytest.raises(UserError, match=word):
        attend(change(call), "fla")


def test_hopper_with_an_old_triton_goes_without_the_scalar_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, capability, wrong in (
        ("3.3.1", (9, 0), False),
        ("3.4.0", (9, 0), True),
        ("3.7.0+git1", (9, 0), True),
        ("3.7.1", (9, 0), False),
        ("3.6.0", (8, 0), False),
    ):
        fla_kernels._is_wrong.cache_clear()
        monkeypatch.setattr(fla_kernels.metadata, "version", lambda name, version=version: version)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, capability=capability: capability)
        assert fla_kernels._is_wrong(0) is wrong
    fla_kernels._is_wrong.cache_clear()

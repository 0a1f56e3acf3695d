"""The public functions: what they refuse, what they choose."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from decaystudy.errors import UserError
from decaystudy.ops import backends, chunked_operator, decay_attention, dplr_attention, recurrent
from decaystudy.ops.call import AttentionCall, CallFacts
from tests.ops.calls import random_call

CALL = {name: x.float() for name, x in random_call(0, batch=2, tokens=6, heads=3, keys=4, values=5).items()}
BETA = torch.ones(2, 6, 3)


def refused(**changes: object) -> str:
    with pytest.raises(UserError) as caught:
        decay_attention(**(CALL | changes))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"q": torch.zeros(2, 6, 4)}, ["q has shape (2, 6, 4)", "(batch, time, heads, channels)"]),
        ({"q": torch.zeros(2, 6, 3, 4, dtype=torch.long)}, ["q is int64"]),
        ({"k": torch.zeros(2, 6, 3, 5)}, ["k has shape (2, 6, 3, 5)", "(2, 6, 3, 4)"]),
        ({"k": torch.zeros(2, 6, 3, 4).double()}, ["k is float64 and q float32"]),
        ({"v": torch.zeros(2, 5, 3, 5)}, ["v has shape (2, 5, 3, 5)", "(2, 6, 3, 5)"]),
        ({"log_decay": torch.zeros(2, 6, 4)}, ["log_decay", "(2, 6, 3) or (2, 6, 3, 4)"]),
        ({"log_decay": torch.zeros(2, 6, 3, 1)}, ["log_decay", "(2, 6, 3, 4)"]),
        ({"log_decay": torch.zeros(2, 6, 3).bfloat16()}, ["log_decay is bfloat16", "float32"]),
        ({"log_decay": torch.zeros(2, 6, 3).double()}, ["log_decay is float64", "float32"]),
        ({"initial_state": torch.zeros(2, 3, 5, 4)}, ["initial_state", "(2, 3, 4, 5)"]),
        ({"initial_state": torch.zeros(2, 3, 4, 5).bfloat16()}, ["initial_state is bfloat16", "float32"]),
        ({"v": torch.zeros(2, 6, 3, 5, device="meta")}, ["v is on meta and q on cpu"]),
        ({"backend": "chunkd"}, ["'chunkd'", "did you mean 'chunked'?", "recurrent"]),
        ({"backend": "fla"}, ["'fla'", "NVIDIA GPU", "cpu"]),
        ({"backend": "triton"}, ["'triton'", "NVIDIA GPU", "cpu"]),
    ],
)
def test_mistakes_are_named_in_one_sentence(changes: dict, words: list[str]) -> None:
    message = refused(**changes)
    assert all(word in message for word in words), message


def test_empty_sequences_are_refused() -> None:
    empty = {name: x[:, :0] for name, x in CALL.items() if name != "initial_state"}
    with pytest.raises(UserError, match="at least one token"):
        decay_attention(**empty)


def test_dplr_checks_beta_too() -> None:
    with pytest.raises(UserError, match=r"beta has shape \(2, 6\)"):
        dplr_attention(**CALL, beta=BETA[:, :, 0])
    with pytest.raises(UserError, match="beta is int64"):
        dplr_attention(**CALL, beta=BETA.long())


def test_auto_steps_one_token_and_chunks_many(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for name, module in (("recurrent", recurrent), ("chunked", chunked_operator)):
        original = module.decay_attention
        monkeypatch.setattr(module, "decay_attention", lambda *a, f=original, n=name: (used.append(n), f(*a))[1])
    decay_attention(**CALL)
    one = {name: x[:, :1] for name, x in CALL.items() if name != "initial_state"}
    decay_attention(**one)
    assert used == ["chunked", "recurrent"]


def test_auto_on_a_gpu_asks_the_kernels_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice alone, which needs no tensors."""
    facts = CallFacts(
        device=torch.device("cuda"),
        dtype=torch.bfloat16,
        batch=2,
        tokens=6,
        heads=3,
        key_width=4,
        value_width=4,
        scalar=False,
        dplr=False,
        resets=True,
    )
    reasons = {"triton": "no", "fla": None}
    for name in reasons:
        kept = backends.BACKENDS[name]
        monkeypatch.setitem(
            backends.BACKENDS, name, backends.Backend(name, kept.run, lambda facts, name=name: reasons[name])
        )
    assert backends.choose(facts, "auto").name == "fla"
    reasons["triton"] = None
    assert backends.choose(facts, "auto").name == "triton"
    assert backends.choose(replace(facts, dtype=torch.float32), "auto").name == "triton", "it is exact in float32"
    reasons["triton"] = reasons["fla"] = "no"
    assert backends.choose(facts, "auto").name == "chunked"
    # FLA rounds float32 to TF32, which takes leave.
    reasons["fla"] = None
    facts = replace(facts, dtype=torch.float32)
    assert backends.choose(facts, "auto").name == "chunked"
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert backends.choose(facts, "auto").name == "fla"
    finally:
        torch.set_float32_matmul_precision(before)
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        kept, torch.backends.cuda.matmul.fp32_precision = torch.backends.cuda.matmul.fp32_precision, "tf32"
        try:
            assert backends.choose(facts, "auto").name == "fla"
        finally:
            torch.backends.cuda.matmul.fp32_precision = kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dplr", [False, True])
def test_the_choice_for_a_gpu_compiles(dtype: torch.dtype, dplr: bool) -> None:
    """Whole, with every question that ``auto`` asks; what is asked of PyTorch's settings can't be traced."""
    shape = {"batch": 2, "tokens": 6, "heads": 3, "key_width": 64, "value_width": 64}
    facts = CallFacts(device=torch.device("cuda"), dtype=dtype, scalar=False, dplr=dplr, resets=True, **shape)

    def doubled(x: torch.Tensor) -> torch.Tensor:
        return 2 * x if backends.choose(facts, "auto").name else x

    compiled = torch.compile(doubled, backend="eager", fullgraph=True)
    assert torch.equal(compiled(torch.ones(2)), torch.full((2,), 2.0))


def test_the_choice_reads_no_tensor() -> None:
    """Tensors without memory are enough to choose by."""
    call = {name: x.to("meta") for name, x in CALL.items()}
    facts = AttentionCall(**call, resets=torch.zeros(2, 6, dtype=torch.bool, device="meta")).facts
    assert backends.choose(facts, "auto").name == "chunked"
    with pytest.raises(UserError, match="NVIDIA GPU"):
        backends.choose(facts, "fla")


def test_importing_the_operators_imports_no_torch() -> None:
    code = "import sys, decaystudy.ops; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

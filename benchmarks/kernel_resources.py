"""What the Triton kernels take of a GPU, compiled without one: python benchmarks/kernel_resources.py [--json]

Each kernel is compiled as `decaystudy.ops.triton_launch` launches it, for sm_80 and sm_90, with the Triton that is
installed. The table shows registers per thread, bytes of stack per thread (spilled registers; 0 is none), KB of shared
memory per program, how many passes products of float32 take (three keep float32's bits, one is TF32's), and uniform
registers that are read and never written: those are addresses that ptxas lost, and such a
kernel computes wrong numbers.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from decaystudy.ops import triton_launch, triton_scalar_launch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
SHARED_KB = {80: 164, 90: 227}
"""Most shared memory of a multiprocessor."""
TOOLS = Path(nvidia.__file__).with_name("bin")
SHAPE = (2, 256, 6)
"""Batch, tokens, heads: kernels don't depend on them."""


class Target:
    """Stands for a GPU's driver: says what to compile for."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return self.target.arch  # Triton keeps what it compiled per device, and would give one target's for another's

    def get_current_stream(self, device: int = 0) -> int:
        return 0


def compiled(capability: int, keys: int, values: int, dtype: torch.dtype, scalar: bool, resets: bool) -> dict[str, Any]:
    """Every kernel of a call, by name, compiled and not run: its tensors have no memory."""
    kernels: dict[str, Any] = {}
    launch = JITFunction.run

    def compile_only(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        name = self.__name__.removesuffix("_kernel") + (" backwards" if options.get("BACKWARD") else "")
        kernels[name] = launch(self, *arguments, grid=grid, warmup=True, **options)

    def empty(*width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(*SHAPE, *width, dtype=dtype, device="meta")

    driver.set_active(Target(capability))
    JITFunction.run = compile_only
    try:
        q, k, v, d_o = (empty(width, dtype=dtype) for width in (keys, keys, values, values))
        g = empty() if scalar else empty(keys)
        ceiling = torch.empty(SHAPE[:2], device="meta") if resets else None
        launcher = triton_scalar_launch if scalar else triton_launch
        _, _, states, scores = launcher.forward(q, k, v, g, ceiling, None, True)
        launcher.backward(d_o, None, q, k, v, g, ceiling, states, scores, True)
    finally:
        JITFunction.run = launch
    return kernels


def resources(kernel: Any) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage, code = (
            subprocess.run([TOOLS / tool, option, file.name], check=True, capture_output=True, text=True).stdout
            for tool, option in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found, usage
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "shared": kernel.metadata.shared,
        "warps": kernel.metadata.num_warps,
        "lost": len(lost_registers(code)),
        "tf32_instructions": len(re.findall(r"mma\S*tf32", kernel.asm["ptx"])),
    }


def lost_registers(code: str) -> set[int]:
    """Uniform registers (UR) that an instruction reads and none before it, in the order of the code, has written."""
    written: set[int] = set()
    lost: set[int] = set()
    for operation, arguments in re.findall(r"\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][A-Z0-9_.]+)\s+(.*?);", code):
        operands = [x.strip() for x in arguments.split(",")]
        writes: set[int] = set()
        target = re.fullmatch(r"UR(\d+)", operands[0])
        if target and re.match(r"U|R2UR|S2UR|CS2UR|VOTEU", operation):
            first = int(target[1])
            writes = {first, first + bool(re.search(r"\.64|WIDE", operation))}
            operands = operands[1:]
        for operand in operands:
            for kind, number in re.findall(r"(gdesc\[|desc\[|)UR(\d+)\b", operand):
                first = int(number)
                if kind == "gdesc[":  # two descriptors of 64 bits, the first one's place unused if it is in registers
                    reads = {first + 2, first + 3} | ({first, first + 1} if operand is operands[1] else set())
                else:
                    reads = {first, first + 1} if kind or re.match(r"U\w+\.64", operation) else {first}
                lost |= reads - written
        written |= writes
    return lost


def passes(kernel: Any, instructions: int) -> int:
    """Of each product of float32 tensors: three, or one if any product takes only one."""
    products = re.findall(r"tt\.dot (.*) : tensor<\w+xf32> \*", kernel.asm["ttir"])
    precisions = {found[1] if (found := re.search(r"inputPrecision = (\w+)", x)) else "" for x in products}
    return 0 if not instructions else 3 if precisions == {"tf32x3"} and instructions % 3 == 0 else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capabilities", type=int, nargs="+", default=[80, 90], choices=[80, 90])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256], help="channels per head, Dk = Dv")
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "fp32"], choices=DTYPES)
    parser.add_argument("--scalar", action="store_true", help="one decay per head")
    parser.add_argument("--resets", action="store_true", help="documents in a row")
    parser.add_argument("--json", action="store_true", help="one JSON object per kernel and line")
    options = parser.parse_args()
    if not options.json:
        print(f"triton {triton.__version__}; stack above 0 is spilled registers\n")
        print("| GPU | channels | dtype | kernel | registers | stack, B | shared, KB | of | TF32 passes | lost |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    for capability in options.capabilities:
        for width in options.widths:
            for dtype in options.dtypes:
                kernels = compiled(capability, width, width, DTYPES[dtype], options.scalar, options.resets)
                for name, kernel in kernels.items():
                    row = resources(kernel)
                    row["passes"] = passes(kernel, row["tf32_instructions"])
                    if options.json:
                        print(
                            json.dumps(
                                {"capability": capability, "width": width, "dtype": dtype} | {"kernel": name} | row
                            )
                        )
                        continue
                    print(
                        f"| sm_{capability} | {width} | {dtype} | {name} | {row['registers']} | {row['stack']} "
                        f"| {row['shared'] / 1024:.0f} | {SHARED_KB[capability]} | {row['passes'] or ''} "
                        f"| {row['lost']} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

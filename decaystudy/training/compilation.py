"""torch.compile, block by block: what it fuses runs faster and keeps less, and one compilation serves all blocks."""

from __future__ import annotations

import logging
import os
import shutil
import sys

import torch

from decaystudy.errors import UserError
from decaystudy.formatting import shortened
from decaystudy.io import cache_folder
from decaystudy.model.linear_cross_entropy import compile_loss
from decaystudy.model.transformer import DecayTransformer

LOG = logging.getLogger("decaystudy")


def compile_model(model: DecayTransformer, choice: bool | str, device: torch.device) -> bool:
    """Make the blocks and the loss compile at their first call; returns whether they will.

    Args:
        choice: ``auto`` compiles on a GPU, where there is a C compiler.

    Raises:
        UserError: compiling was asked for and there is no C compiler.
    """
    if choice is False or (choice == "auto" and device.type != "cuda"):
        return False
    if not c_compiler():
        if choice is True:
            raise UserError("compile is true and there is no C compiler: install gcc, or pass --compile false")
        LOG.info("not compiled: there is no C compiler (install gcc, or set CC)")
        return False
    # Studies train many models of the same shapes: what one run has compiled, the others find.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder("compiled")))
    _configure(len(model.layers))
    for layer in model.layers:
        layer.compile_training()  # type: ignore[operator]
    compile_loss()
    return True


def _configure(layers: int) -> None:
    import torch._dynamo

    # A user's own decay may depend on the layer's number, which makes another graph of each layer.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * layers + 16)
    # DDP's buckets would cut a block in pieces; its gradients are sent block by block anyway.
    torch._dynamo.config.optimize_ddp = False


def why_not_compiled(error: BaseException) -> str | None:
    """Why torch.compile has failed, in a sentence; None for an error of another kind."""
    dynamo = sys.modules.get("torch._dynamo.exc")
    link: BaseException | None = error
    while dynamo is not None and link is not None:
        disabled = isinstance(link, RuntimeError) and str(link).startswith("torch.compile with ")
        if disabled or isinstance(link, dynamo.TorchDynamoException):
            lines = [line.strip() for line in str(link).splitlines() if line.strip()] or ["it says no more"]
            return (
                f"torch.compile failed ({type(link).__name__}: {shortened(lines[0].rstrip(':.'), 200)}): pass "
                "--compile false, or mend that (TORCHDYNAMO_VERBOSE=1 with --compile true says more)"
            )
        link = link.__cause__ or link.__context__
    return None


def c_compiler() -> str | None:
    """The C compiler that Triton and torch.compile find; None where there is none."""
    named = os.environ.get("CC")
    return next((found for name in (named, "cc", "gcc", "clang") if name and (found := shutil.which(name))), None)

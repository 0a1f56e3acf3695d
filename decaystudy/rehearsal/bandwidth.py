"""How fast the processes of a run add up their gradients: one all-reduce between all of them, in processes of its own.

``python -m decaystudy.rehearsal.bandwidth SETTINGS FOLDER`` is one of these processes, or starts them.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.formatting import size
from decaystudy.io import read_mapping, write_json
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.rehearsal.children import child, last_line, wait
from decaystudy.runs.folder import RunFolder
from decaystudy.training.supervisor import end_with_parent, supervise, supervised
from decaystudy.training.world import find_world, uses_gpu

BYTES = {"gloo": 2**24, "nccl": 2**28}
TIMES = 5
SECONDS = 90.0
MODULE = "decaystudy.rehearsal.bandwidth"
ANSWER = "all-reduce.json"


def bandwidth(rehearsal: Rehearsal) -> str:
    """The processes reach each other, add rightly, and at a rate."""
    if rehearsal.devices == 1:
        return "one device: nothing to measure"
    folder = rehearsal.folder / "bandwidth"
    folder.mkdir()
    trainer = {
        key: rehearsal.config.trainer[key] for key in ("devices", "accelerator") if key in rehearsal.config.trainer
    }
    log = folder / "log.txt"
    with child([sys.executable, "-m", MODULE, json.dumps(trainer), str(folder)], log) as process:
        code = wait(process, "an all-reduce", log, SECONDS)
    found = read_mapping(folder / ANSWER)
    if code != 0 or found is None:
        raise CheckFailed(
            f"the processes cannot add up a tensor ({last_line(log)}): see whether they reach each other "
            "(NCCL_DEBUG=INFO says more, NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME choose the network)"
        )
    if not found["right"]:
        raise CheckFailed(
            f"an all-reduce over {found['backend']} gives a wrong sum: with NCCL, try NCCL_P2P_DISABLE=1, and have the "
            "links between the devices looked at"
        )
    amount = BYTES[found["backend"]]
    rate = f"{size(amount / found['seconds'])}/s"
    return f"{size(amount)} all-reduced between {rehearsal.devices} ranks over {found['backend']} at {rate}"


def main(trainer: Mapping[str, Any], folder: Path) -> int:
    """Measure in this process and the others, which the first call starts."""
    if supervised():
        end_with_parent()
    world = find_world(trainer)
    if not world.started:
        return supervise([sys.executable, "-m", MODULE, *sys.argv[1:]], world, RunFolder(folder))
    import torch
    import torch.distributed as dist

    backend = "nccl" if uses_gpu(trainer) else "gloo"
    device = torch.device("cuda", world.local_rank) if backend == "nccl" else torch.device("cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=datetime.timedelta(seconds=SECONDS))
    mine = torch.full((BYTES[backend] // 4,), float(world.rank + 1), device=device)
    seconds = []
    for _ in range(1 + TIMES):  # the first connects the processes
        total = mine.clone()
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(total)
        if backend == "nccl":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    right = bool((total == world.size * (world.size + 1) / 2).all())
    if world.first:
        taken = sorted(seconds[1:])[TIMES // 2]
        write_json(folder / ANSWER, {"backend": backend, "seconds": taken, "right": right})
    dist.destroy_process_group()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), Path(sys.argv[2])))

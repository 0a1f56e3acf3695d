"""Whether the processes of a run can reach one another, asked before they wait for each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from decaystudy.errors import UserError
from decaystudy.training.world import World

GLOO, NCCL = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"


def check_network(world: World, on_gpu: bool, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a run of several processes that would wait for each other in vain.

    Args:
        world: of the run; processes that are not there yet will meet on this machine's loopback device, if it is their
            only one.
        on_gpu: whether they talk over NCCL; over Gloo they do anyway, of signals and checkpoints.

    Raises:
        UserError: why they cannot meet.
    """
    for variable in (GLOO, NCCL) if on_gpu else (GLOO,):
        value = environment.get(variable, "")
        if len(value) < 2:  # which both libraries take for none
            continue
        here = [name for _, name in socket.if_nameindex()]
        if why := mistaken_interfaces(variable, value, here):
            raise UserError(
                f"{variable} {why}, and this machine has {', '.join(here) or 'none'}: mend that variable, or unset it"
            )
    if world.nodes == 1 and not world.started:
        try:
            with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 10):
                pass
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"processes of this machine cannot reach one another at 127.0.0.1 ({reason}): bring its loopback "
                "device up (ip link set lo up), or train in one process"
            ) from error


def mistaken_interfaces(variable: str, value: str, here: list[str]) -> str:
    """What is wrong with the network interfaces that a variable names, on a machine that has these; else empty.

    Gloo uses all that are named. NCCL uses what it finds of them, which are beginnings of names, or after ``=`` whole
    names; ``^`` before either excludes them.
    """
    if variable == GLOO:
        names = value.removesuffix(",").split(",")
        missing = [name for name in names if name.partition(":")[0] not in here]
        return f"names the network interface {', '.join(map(repr, missing))}" if missing else ""
    listed = value.removeprefix("^").removeprefix("=")
    exact, names = listed != value.removeprefix("^"), [name.partition(":")[0] for name in listed.split(",")]
    names = [name for name in names if name]
    found = [one for one in here if any(one == name if exact else one.startswith(name) for name in names)]
    if value.startswith("^"):
        return f"excludes every network interface ({value})" if here and len(found) == len(here) else ""
    return "" if found or not names else f"names the network interface {', '.join(map(repr, names))}"

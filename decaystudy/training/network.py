"""Whether the processes of a run can reach one another, asked before they wait for each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from decaystudy.errors import UserError


def check_network(nodes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a run of several processes that would wait for each other in vain.

    Args:
        nodes: of the run; the processes of a single one meet on its loopback device.

    Raises:
        UserError: why they cannot meet.
    """
    here = [name for _, name in socket.if_nameindex()]
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        if missing := missing_interfaces(variable, environment.get(variable, ""), here):
            raise UserError(
                f"{variable} names the network interface {', '.join(missing)}, and this machine has "
                f"{', '.join(here) or 'none'}: mend that variable, or unset it"
            )
    if nodes == 1:
        try:
            with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 10):
                pass
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"processes of this machine cannot reach one another at 127.0.0.1 ({reason}): bring its loopback "
                "device up (ip link set lo up), or train in one process"
            ) from error


def missing_interfaces(variable: str, value: str, here: list[str]) -> list[str]:
    """Those that a variable names and the machine lacks.

    Gloo takes names; NCCL takes beginnings of names, names after ``=``, and after ``^`` what it shall not use.
    """
    names = [name.strip() for name in value.lstrip("=").split(",") if name.strip()]
    if variable.startswith("GLOO") or value.startswith("="):
        return [name for name in names if name.partition(":")[0] not in here]
    if value.startswith("^") or any(one.startswith(name.partition(":")[0]) for name in names for one in here):
        return []
    return names

"""``decaystudy doctor``: what a bug report needs."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """Print what a bug report needs: versions, Python, the GPU, which kernels are chosen and why, the cache
and its size, and whether the hub answers. Works without a GPU and without a network, and names no user and no host.

  decaystudy doctor > doctor.txt"""


def run(arguments: list[str]) -> int:
    """Parse and print; returns the exit code."""
    parser = make_parser("doctor", DESCRIPTION)
    parse(parser, arguments)
    from decaystudy.doctor.doctor import doctor

    return doctor()

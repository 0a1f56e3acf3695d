"""Prints pip constraints: the lowest version that pyproject.toml admits of every dependency, torch apart.

Torch stays at the version of constraints.txt, because an old one brings gigabytes of CUDA onto machines without a GPU.
So do the test tools, which are not what is tested.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINNED = ("torch", "pytest", "pytest-xdist")


def floors(project: dict) -> dict[str, str]:
    """Lowest version by package, of all that the tests import."""
    found = {}
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["evaluate"]]:
        match = re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", requirement)
        if match is None:
            sys.exit(f"pyproject.toml: {requirement!r} has no floor")
        found[match[1]] = match[2]
    return found


def pins(constraints: str) -> dict[str, str]:
    """Version by package of constraints.txt."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", constraints, re.M))


if __name__ == "__main__":
    lowest = floors(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])
    pinned = pins((ROOT / "constraints.txt").read_text())
    for name, version in {**lowest, **{name: pinned[name] for name in PINNED}}.items():
        sys.stdout.write(f"{name}=={version}\n")

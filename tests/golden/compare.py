"""The golden numbers as they are kept, and what differs from them."""

import json
import math
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DEPENDS = {"model": ("model",), "data": ("data",), "recipe": ("model", "recipe", "data")}
"""The versions that the numbers of each kind stand for."""
TOLERANCE = 1e-6
"""Relative. Machines differ by 1e-8 and less, a change of meaning by much more."""


def read(kind: str) -> dict[str, Any] | None:
    """``version`` and ``numbers`` of a kind; None where they were never written."""
    path = FOLDER / f"{kind}.json"
    return json.loads(path.read_text()) if path.exists() else None


def differences(held: Any, found: Any, name: str = "") -> list[str]:
    """Names of the numbers that differ, or that only one of the two has."""
    if isinstance(held, dict) and isinstance(found, dict):
        return [at for key in {**held, **found} for at in differences(held.get(key), found.get(key), f"{name}{key} ")]
    if isinstance(held, list) and isinstance(found, list) and len(held) == len(found):
        return [at for one, other in zip(held, found, strict=True) for at in differences(one, other, name)][:1]
    if isinstance(held, float) and isinstance(found, float):
        same = math.isclose(held, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE * TOLERANCE)
    else:
        same = held == found
    return [] if same else [name.strip()]

"""The whole design space: every combination of decay, granularity, sharing, position and DPLR, and which are valid."""

from itertools import product

from decaystudy.decay import DECAYS, GRANULARITIES, SHARINGS
from decaystudy.errors import UserError
from decaystudy.model.config import POSITIONS, ModelConfig

INDEPENDENT = ("tnl", "tnl-l", "constant", "none")


def all_combinations():
    """Keyword arguments of every combination."""
    for decay, granularity, sharing, position, dplr in product(
        DECAYS, GRANULARITIES, SHARINGS, POSITIONS, (False, True)
    ):
        yield {"decay": decay, "granularity": granularity, "sharing": sharing, "position": position, "dplr": dplr}


def should_be_valid(decay, granularity, sharing, position, dplr):
    """The rules as the design states them, apart from the code that enforces them."""
    if decay in ("tnl", "tnl-l") and granularity != "scalar":
        return False
    if sharing is not False:
        if granularity != "vector" or decay in INDEPENDENT or dplr:
            return False
        if sharing == "released" and not decay.startswith(("mamba2", "lightnet")):
            return False
    return not (position == "rope" and granularity == "vector" and decay not in ("constant", "none"))


def valid_combinations():
    """Those that ``ModelConfig`` accepts at scale tiny."""
    found = []
    for combination in all_combinations():
        try:
            ModelConfig.preset("tiny", **combination)
        except UserError:
            continue
        found.append(combination)
    return found


def label(combination):
    """A readable test id."""
    return "-".join(str(value) for value in combination.values())

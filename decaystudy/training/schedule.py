"""The learning rate: warm-up, stable, decay (WSD)."""


def wsd(step: int, total: int, *, warmup: int, decay_fraction: float, final_fraction: float) -> float:
    """The learning rate of optimizer step ``step`` (0 … total − 1) as a share of its peak.

    It rises linearly over ``warmup`` steps, stays constant, and falls linearly over the last ``decay_fraction`` of all
    steps to ``final_fraction`` at the last one. Where rise and fall overlap, the smaller value holds.
    """
    rise = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    falling = round(total * decay_fraction)
    into = step + 1 - (total - falling)
    fall = 1.0 - (1.0 - final_fraction) * min(into / falling, 1.0) if falling > 0 and into > 0 else 1.0
    return min(rise, fall)

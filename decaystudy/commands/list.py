"""``decaystudy list``: the choices there are."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse


def run(arguments: list[str]) -> int:
    """Print studies, decays, scales, data sources and loggers, one per line."""
    parse(
        make_parser("list", "Studies, decays, scales, data sources and loggers, with one line of description each."),
        arguments,
    )
    from decaystudy.data.registry import SOURCES
    from decaystudy.decay import DECAYS
    from decaystudy.scales import SCALES
    from decaystudy.study.definition.library import describe_studies
    from decaystudy.terminal import listed, terminal_width
    from decaystudy.training.loggers import LOGGERS

    groups = {
        "studies (decaystudy run-study NAME)": describe_studies(),
        "decays (--model.decay NAME)": [(name, decay.summary) for name, decay in DECAYS.items()],
        "scales (--scale NAME)": [(name, scale.summary) for name, scale in SCALES.items()],
        "data sources (--data.source NAME)": [(name, source.summary) for name, source in SOURCES.items()],
        "loggers (--logger NAME)": [(name, logger.summary) for name, logger in LOGGERS.items()],
    }
    widest = max(len(name) for rows in groups.values() for name, _ in rows) + 2
    width = terminal_width()
    for title, rows in groups.items():
        print(f"{title}\n" + "\n".join(listed(f"  {name:<{widest}}", line, width) for name, line in rows) + "\n")
    return 0

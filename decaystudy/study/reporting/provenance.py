"""Where the numbers of a report are from: data, tokenizer, versions, commit, seeds and commands."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.result import RunResult, read_result
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.planning.plan_schema import Call, Plan, RecordedPlan

BIBTEX = """\
@inproceedings{qin2025elucidating,
  title     = {Elucidating the Design Space of Decay in Linear Attention},
  author    = {Qin, Zhen and Shen, Xuyang and Zhong, Yiran},
  booktitle = {Conference on Language Modeling (COLM)},
  year      = {2025},
  url       = {https://arxiv.org/abs/2509.05282}
}

@software{decaystudy,
  title   = {decaystudy: the laboratory for decay in linear attention},
  author  = {{decaystudy maintainers}},
  version = {0.1.0}
}"""
_DATA = {"source": "source", "revision": "revision", "tokenizer": "tokenizer", "tokenizer_digest": "tokenizer digest"}
_SIZES = {"validation_documents": "held-out documents", "validation_tokens": "held-out tokens"}


def provenance(results: StudyResults, plan: Plan, out: Path) -> dict[str, tuple[str, ...]]:
    """By heading, what the finished runs have recorded; several lines where they differ.

    Args:
        out: the folder of all runs.
    """
    found = list(_finished(results, out))
    facts = {
        "Data": _distinct(_named(one.data, {**_DATA, **_SIZES}) for one in found),
        "Digest of the held-out documents": _distinct(one.data.get("validation_digest") for one in found),
        "Versions": _distinct(", ".join(f"{name} {number}" for name, number in one.versions.items()) for one in found),
        "Commit of decaystudy": _distinct(one.git_revision for one in found),
        "Meaning of the numbers": _distinct(
            ", ".join(f"{name} {number}" for name, number in one.version.items()) for one in found
        ),
        "Device": _distinct(_device(one) for one in found),
        "Seeds": (", ".join(map(str, results.seeds)),),
        "Commands": commands(plan),
    }
    return {name: lines for name, lines in facts.items() if lines}


def commands(plan: Plan) -> tuple[str, ...]:
    """Those that train, judge and show the study again; none for a plan that was not recorded."""
    if not isinstance(plan, RecordedPlan):
        return ()
    call = plan.call
    name = call.study if not call.study.endswith((".yaml", ".yml")) else Path(call.study).name
    words = ["decaystudy", "run-study", name, "--scale", call.scale, "--seeds", ",".join(map(str, call.seeds))]
    words += ["--all-cells"] if call.all_cells else []
    words += _settings(call)
    return (shlex.join(words), f"decaystudy report {plan.study}")


def _settings(call: Call) -> list[str]:
    words = []
    given = {"--tune": call.sweep, "--rates-from": call.rates_from and Path(call.rates_from).name}
    if call.tuning_seeds is not None:
        given["--tuning-seeds"] = ",".join(map(str, call.tuning_seeds))
    for flag, value in [*given.items(), *_flat(call.overrides, "--")]:
        words += [flag, str(value)] if value is not None else []
    return words


def _flat(settings: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _finished(results: StudyResults, out: Path) -> Iterator[RunResult]:
    for run in results.runs:
        if run.status == RunState.FINISHED and run.run is not None:
            with contextlib.suppress(UserError, OSError):
                result = read_result(out / run.run / "result.json")
                if result is not None:
                    yield result


def _named(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {values[key]}" for key, name in names.items() if values.get(key) is not None)


def _device(result: RunResult) -> str:
    processes = result.world_size or 1
    return f"{result.device or ''}{f', {processes} processes' if processes > 1 else ''}"


def _distinct(values: Iterator[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value))

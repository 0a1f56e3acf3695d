"""Two runs of the same settings, compared bit for bit."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from decaystudy.io import digest, read_mapping
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.rehearsal.witness import tokens_file
from decaystudy.runs.curves import MACHINE
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.weights import read_weights

ADVICE = (
    "on a GPU try --model.backend chunked, --compile false or --trainer.deterministic true, since kernels tuned "
    "anew in each process round differently; else report it"
)


def compare(rehearsal: Rehearsal) -> str:
    """Raise where the killed run differs from the undisturbed one; return the fingerprint of their tokens.

    Raises:
        CheckFailed: they differ.
    """
    one, other = rehearsal.undisturbed, rehearsal.killed
    seen = []
    for rank in range(rehearsal.devices):
        expected, got = tokens_by_step(one, rank), tokens_by_step(other, rank)
        for key in sorted(expected.keys() | got.keys()):
            if expected.get(key) != got.get(key):
                step, part = key
                raise CheckFailed(
                    f"rank {rank} sees other tokens at step {step + 1}, micro-batch {part + 1}, after it was killed: "
                    "see whether data.files or the cache of tokens changed meanwhile"
                )
        seen.append(sorted(expected.items()))
    _compare_curves(one, other)
    _compare_results(one, other)
    _compare_weights(RunFolder(one), RunFolder(other))
    return digest(seen)


def tokens_by_step(out: Path, rank: int) -> dict[tuple[int, int], str]:
    """Digest of each micro-batch by its step and its number in the step.

    Raises:
        CheckFailed: a step that was repeated had other tokens.
    """
    found: dict[tuple[int, int], str] = {}
    for line in _lines(out, rank):
        key = line["step"], line["part"]
        if found.setdefault(key, line["tokens"]) != line["tokens"]:
            raise CheckFailed(
                f"rank {rank} sees other tokens when step {key[0] + 1} is repeated after a kill: report it, "
                f"with {tokens_file(out, rank)}"
            )
    return found


def first_step_of_last_session(out: Path) -> int | None:
    """The number of steps that were done when rank 0 last began; None if it never did."""
    lines = list(_lines(out, 0))
    if not lines:
        return None
    return next(int(line["step"]) for line in lines if line["session"] == lines[-1]["session"])


def _lines(out: Path, rank: int) -> Iterator[dict[str, Any]]:
    path = tokens_file(out, rank)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        yield json.loads(line)


def _compare_curves(one: Path, other: Path) -> None:
    for expected, got in zip(curves(one), curves(other), strict=False):
        if expected != got:
            name = next(name for name in expected if expected[name] != got.get(name))
            raise CheckFailed(
                f"{name} of step {expected['step']} is {expected[name]} undisturbed and {got.get(name)} after the "
                f"kills: {ADVICE}"
            )
    if len(curves(one)) != len(curves(other)):
        raise CheckFailed(
            f"{other} has {len(curves(other))} rows of curves and {one} has {len(curves(one))}: report it"
        )


def curves(out: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, without what tells of the machine."""
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in MACHINE} for row in csv.DictReader(file)]


def _compare_results(one: Path, other: Path) -> None:
    first, second = read_mapping(one / "result.json") or {}, read_mapping(other / "result.json") or {}
    for name in ("step", "tokens", "train_loss", "val_loss", "decay_start", "decay"):
        if first.get(name) != second.get(name):
            raise CheckFailed(
                f"{name} in result.json is {first.get(name)} undisturbed and {second.get(name)}: {ADVICE}"
            )
    if RunFolder(one).validation_loss.read_bytes() != RunFolder(other).validation_loss.read_bytes():
        raise CheckFailed(f"the losses of single validation sequences differ after the kills: {ADVICE}")


def _compare_weights(one: RunFolder, other: RunFolder) -> None:
    first, second = read_weights(one.weights).tensors, read_weights(other.weights).tensors
    for name, value in first.items():
        if not torch.equal(value, second[name]):
            apart = float((value.double() - second[name].double()).abs().max())
            raise CheckFailed(f"{name} ends up to {apart:.2g} apart after the kills: {ADVICE}")

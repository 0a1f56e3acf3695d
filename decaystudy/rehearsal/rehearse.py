"""``decaystudy rehearse``: the checks in their order, a line for each."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from decaystudy.errors import Failure, UserError
from decaystudy.formatting import duration
from decaystudy.io import write_text
from decaystudy.rehearsal import bandwidth, file_system
from decaystudy.rehearsal.checks import Check, CheckFailed, Rehearsal
from decaystudy.rehearsal.children import run_to_end
from decaystudy.runs.config import RunConfig
from decaystudy.runs.records import dump_config


def undisturbed(rehearsal: Rehearsal) -> str:
    """The run trains to its end."""
    began = time.monotonic()
    write_text(rehearsal.settings, dump_config(rehearsal.config))
    run_to_end(rehearsal, rehearsal.undisturbed)
    return f"decaystudy fit trained {rehearsal.config.max_steps} steps in {duration(time.monotonic() - began)}"


def start_values(rehearsal: Rehearsal) -> str:
    from decaystudy.rehearsal.start_values import start_values

    return start_values(rehearsal)


def round_trip(rehearsal: Rehearsal) -> str:
    from decaystudy.rehearsal.round_trip import round_trip

    return round_trip(rehearsal)


def kills(rehearsal: Rehearsal) -> str:
    from decaystudy.rehearsal.kills import kills

    return kills(rehearsal)


CHECKS = (
    Check("rename", file_system.rename),
    Check("lock", file_system.lock),
    Check("links", file_system.links),
    Check("disk", file_system.disk),
    Check("folder sync", file_system.folder_sync),
    Check("bandwidth", bandwidth.bandwidth),
    Check("run", undisturbed, needs=("rename", "lock", "disk")),
    Check("start values", start_values, needs=("run",)),
    Check("checkpoint", round_trip, needs=("run",)),
    Check("kills", kills, needs=("run", "checkpoint")),
)
WIDTH = max(len(check.name) for check in CHECKS)


def rehearse(config: RunConfig, out: Path, kills: int) -> int:
    """Go through the checks and print a line for each.

    Args:
        config: of the tiny run.
        out: a folder on the file system that is tried; everything is done in a new folder below it.

    Returns:
        0 if all pass, else 1.

    Raises:
        UserError: the folder cannot be made.
    """
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=out)).absolute()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write to {out}: {reason}; choose another --out") from error
    rehearsal = Rehearsal(config, folder, kills)
    passed = False
    try:
        passed = _go_through(CHECKS, rehearsal)
    except BaseException:
        passed = True  # somebody has ended it: there is nothing to look at
        raise
    finally:
        if passed:
            shutil.rmtree(folder, ignore_errors=True)
            if new:
                with contextlib.suppress(OSError):
                    out.rmdir()
    return 0 if passed else 1


def _go_through(checks: Sequence[Check], rehearsal: Rehearsal) -> bool:
    devices = "1 device" if rehearsal.devices == 1 else f"{rehearsal.devices} devices"
    print(f"rehearsing --strategy {rehearsal.config.strategy} on {devices} in {rehearsal.folder}", flush=True)
    began = time.monotonic()
    missed: dict[str, str] = {}  # by check, the one that failed: itself, or one that it needs
    for check in checks:
        failed = next((missed[name] for name in check.needs if name in missed), None)
        if failed is not None:
            missed[check.name] = failed
            _line("----", check.name, 0.0, f"not run, since {failed} failed")
            continue
        started = time.monotonic()
        try:
            said, word = check.run(rehearsal), "pass"
        except (CheckFailed, UserError, Failure, OSError) as failure:
            said, word = " ".join(str(failure).split()), "FAIL"
            missed[check.name] = check.name
        _line(word, check.name, time.monotonic() - started, said)
    taken = duration(time.monotonic() - began)
    if not missed:
        print(f"all {len(checks)} checks passed in {taken}")
        return True
    names = list(dict.fromkeys(missed.values()))
    print(f"{len(names)} of {len(checks)} checks failed in {taken} ({', '.join(names)}); see {rehearsal.folder}")
    return False


def _line(word: str, name: str, seconds: float, said: str) -> None:
    print(f"{word}  {name:<{WIDTH}}  {seconds:6.1f} s  {said}", flush=True)

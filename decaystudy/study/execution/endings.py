"""How a job ended, where its own process could not write it down."""

from __future__ import annotations

from collections.abc import Callable

from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.state import FINAL, RunState
from decaystudy.study.execution.jobs import ActiveJob, JobReport, JobState, log_tail
from decaystudy.study.execution.worker import EVALUATION_FAILED

BY_THE_RUN = (RunState.FAILED, RunState.OUT_OF_MEMORY, RunState.KILLED)
"""States in which a run's own process can leave it."""


def record_end(one: ActiveJob, log: Callable[[], str]) -> tuple[RunState, str]:
    """Write down how a training job ended, unless it has done so itself.

    Args:
        one: the job, which has ended.
        log: gives the end of what it printed.

    Returns:
        The run's state; and what is wrong, where it cannot be written down.
    """
    folder, report = one.job.folder, one.report
    state = state_of(folder)
    status = folder.read_status()
    if state in FINAL or (one.wrote(status) and status.get("state") in BY_THE_RUN):
        return state, ""
    last = error_in(log())
    if report.state is JobState.KILLED:
        state, message = RunState.KILLED, report.reason or "killed"
        if last and not one.wrote(status):
            message += f": {last}"
    else:
        state, message = RunState.FAILED, last or report.reason or "it ended without a result"
    facts = {key: status[key] for key in ("step", "max_steps", "loss") if key in status}
    try:
        folder.write_status(state, **facts, message=message)
    except OSError as error:
        if not folder.path.exists():
            return state, f"{folder.path} was removed while it ran: the same command trains it again"
        reason = (error.strerror or str(error)).lower()
        return state, f"{message} (and its folder cannot be written to: {reason})"
    return state, ""


def why_not_evaluated(report: JobReport, log: str) -> str:
    """Why an evaluation has left no answers."""
    last = error_in(log)
    if report.state is JobState.FAILED and last.startswith(EVALUATION_FAILED):
        return last.removeprefix(EVALUATION_FAILED)
    return report.reason or last or "it ended without an answer"


def error_in(log: str) -> str:
    """The last line of a log that is not empty, which holds the error; empty if there is none."""
    lines = log.strip().splitlines()
    return lines[-1].strip() if lines else ""


def last_line(folder: RunFolder, code: int | None) -> str:
    """The last line of the run's log, which holds its error."""
    return error_in(log_tail(folder)) or f"ended with exit code {code}"

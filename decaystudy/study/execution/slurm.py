"""Jobs on a SLURM cluster, through submitit: several runs in one array job.

A preempted or timed-out job is requeued and resumes from the run's last checkpoint. Jobs outlive the study's process;
their ids, such as 12_3 for task 3 of array 12, are in RUN/slurm_job.json.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.formatting import hours
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.cluster_job import ClusterJob
from decaystudy.study.execution.jobs import Job, JobKind, JobReport, JobState, Resources, log_tail
from decaystudy.study.execution.launcher import ExecutionOptions, Launcher, Preview
from decaystudy.study.execution.slurm_options import minutes, parse_extra
from decaystudy.study.execution.slurm_preview import preview_text

DEFAULT_CPUS = 8
MOST_TIMEOUTS = 1_000_000
"""Time-outs after which submitit would not requeue a job: ``ClusterJob`` decides instead, by whether it got on."""
MAX_ARRAY_SIZE = 1001
"""SLURM's own default, where the cluster cannot be asked."""
ASK_AGAIN_SECONDS = 5.0
NO_CLUSTER = ("configuration source", "fetch config", "slurm.conf")
"""What SLURM's commands say where they are installed and no cluster is set up: asking again doesn't help."""
RUNNING_STATES = ("RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING")
QUEUED_STATES = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
KILLED_BECAUSE = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "ran out of time",
    "OUT_OF_MEMORY": "ran out of memory",
    "NODE_FAIL": "lost its node",
    "PREEMPTED": "was preempted and not requeued",
    "DEADLINE": "missed its deadline",
}


class SlurmLauncher(Launcher):
    """Submits, watches and cancels SLURM jobs.

    Args:
        options: how the jobs are to be run.
        max_array_size: most jobs of an array; None for what the cluster allows.
    """

    detached = True

    def __init__(self, options: ExecutionOptions, *, max_array_size: int | None = None) -> None:
        super().__init__(options)
        if (options.runs_per_gpu or 1) > 1:
            raise UserError(
                f"--runs-per-gpu {options.runs_per_gpu} with --launcher slurm: each job has GPUs of its own; leave one "
                "of them out"
            )
        self._extra = parse_extra(options.slurm.extra)
        self._max_array_size = max_array_size

    def check(self, runs: Sequence[Run]) -> None:
        if shutil.which("sbatch") is None:
            raise UserError("--launcher slurm: sbatch is not on this machine; log in to the cluster or use local")

    def resources(self, run: Run, kind: JobKind) -> Resources:
        needs = super().resources(run, kind)
        nodes = self.options.slurm.nodes if kind is JobKind.TRAIN else 1
        return Resources(needs.devices, nodes, needs.threads, needs.gpu)

    def next_batch(self, waiting: Sequence[Job]) -> Sequence[Job]:
        """The jobs of the next array: those that need the same. Evaluations follow the array that trains their runs,
        task by task; where they cannot, one of them is submitted alone."""
        if not waiting:
            return []
        if self._max_array_size is None:
            self._max_array_size = max_array_size()

        def likeness(job: Job) -> tuple[Any, ...]:
            return job.kind, job.resources, None if job.after is None else array_of(job.after)

        batch = [job for job in waiting if likeness(job) == likeness(waiting[0])][: self._max_array_size]
        followed = [job.after for job in batch if job.after is not None]
        if followed and followed != [f"{array_of(followed[0])}_{task}" for task in range(len(batch))]:
            return batch[:1]
        return batch

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        executor = self._executor(jobs)
        limit = minutes(self.options.slurm.time)
        tasks = [ClusterJob(job.kind, str(job.folder.path.absolute()), job.layout, job.tasks, limit) for job in jobs]
        try:
            with executor.batch():
                submitted = [executor.submit(task) for task in tasks]
            return [str(job.job_id) for job in submitted]
        except RuntimeError as error:  # submitit's own are derived from it
            raise UserError(f"sbatch refused the jobs: {refusal(str(error))}") from error

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobReport]:
        listing = ask(
            *("squeue", "--me", "--array", "--noheader", "--states=all"),
            "--Format=JobArrayID:64,State:32,RestartCnt:16",
        )
        rows = {row[0]: (row[1], row[2]) for line in listing.splitlines() if len(row := line.split()) >= 3}
        return {id: report(id, *rows.get(id, ("", "0"))) for id in ids}

    def cancel(self, ids: Sequence[str]) -> None:
        if ids:
            ask("scancel", *ids)

    def logs(self, job: Job, id: str) -> str:
        """The end of the run's log; of SLURM's own where the job didn't get as far as that."""
        folder = submission_folder([job])
        try:
            began = (folder / f"{array_of(id)}_submission.sh").stat().st_mtime
            if not job.folder.log.exists() or job.folder.log.stat().st_mtime < began:
                return (folder / f"{id}_0_log.err").read_text(encoding="utf-8", errors="replace")
        except OSError:
            pass
        return log_tail(job.folder)

    def preview(self, jobs: Sequence[Job], planned_hours: Mapping[str, float]) -> Preview:
        arrays, waiting = [], list(jobs)
        while batch := list(self.next_batch(waiting)):
            waiting = [job for job in waiting if job not in batch]
            arrays.append(self._preview_array(batch, planned_hours))
        longest = max((array["planned_hours"] or 0.0 for array in arrays), default=0.0)
        limit = minutes(self.options.slurm.time) / 60
        values: dict[str, Any] = {"jobs": len(jobs), "arrays": arrays, "warnings": []}
        if longest > limit:
            values["warnings"].append(
                f"the longest run is planned to take {hours(longest)}, more than the time limit of "
                f"{hours(limit)}: its job will be requeued and resume; raise --slurm.time if the cluster allows it"
            )
        return Preview(values, preview_text(values))

    def _preview_array(self, batch: Sequence[Job], planned_hours: Mapping[str, float]) -> dict[str, Any]:
        parameters = self._parameters(batch)
        training = batch[0].kind is JobKind.TRAIN
        executor = self._executor(batch)
        if len(batch) > 1:
            executor.parameters["map_count"] = len(batch)
        return {
            "kind": str(batch[0].kind),
            "jobs": len(batch),
            "runs": [job.run.name for job in batch],
            "partition": self.options.slurm.partition,
            "account": self.options.slurm.account,
            "nodes": parameters["nodes"],
            "gpus_per_node": parameters.get("gpus_per_node", 0),
            "tasks_per_node": parameters["ntasks_per_node"],
            "cpus_per_task": parameters["cpus_per_task"],
            "memory": self.options.slurm.memory,
            "time_limit": self.options.slurm.time,
            "time_limit_hours": minutes(self.options.slurm.time) / 60,
            "planned_hours": max(planned_hours.get(job.run.hash, 0.0) for job in batch) if training else None,
            "extra": self._extra,
            "script": executor._make_submission_file_text(executor._submitit_command_str, "preview"),
        }

    def _parameters(self, batch: Sequence[Job]) -> dict[str, Any]:
        """What submitit asks sbatch for; the jobs of a batch all need the same."""
        options, needs = self.options.slurm, batch[0].resources
        training = batch[0].kind is JobKind.TRAIN
        gpus = options.gpus_per_node if training or options.gpus_per_node == 0 else None
        gpus = (needs.devices if gpus is None else gpus) if needs.gpu else 0
        cpus = options.cpus_per_task or needs.threads or DEFAULT_CPUS
        additional: dict[str, Any] = {"requeue": True, **self._extra}
        if batch[0].after is not None:
            after = batch[0].after
            additional["dependency"] = f"aftercorr:{array_of(after)}" if len(batch) > 1 else f"afterok:{after}"
            additional["kill-on-invalid-dep"] = "yes"
        parameters = {
            "job_name": batch[0].name.replace(" ", "-") if len(batch) == 1 else f"decaystudy-{batch[0].kind}",
            "time": minutes(options.time),
            "nodes": needs.nodes,
            "ntasks_per_node": needs.devices,
            "cpus_per_task": cpus,
            "srun_args": [f"--cpus-per-task={cpus}"],  # since SLURM 22.05 srun no longer takes it from sbatch
            "partition": options.partition,
            "account": options.account,
            "mem": options.memory,
            "gpus_per_node": gpus or None,
            "array_parallelism": self.options.jobs or len(batch),
            "additional_parameters": additional,
        }
        return {key: value for key, value in parameters.items() if value is not None}

    def _executor(self, batch: Sequence[Job]) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise UserError("--launcher slurm needs submitit: pip install submitit") from error

        class Executor(submitit.SlurmExecutor):  # type: ignore[misc, unused-ignore]
            @classmethod
            def affinity(cls) -> int:
                return 1  # a dry run writes scripts where there is no SLURM

        executor = Executor(folder=submission_folder(batch), max_num_timeout=MOST_TIMEOUTS)
        executor.update_parameters(**self._parameters(batch))
        return executor


def array_of(id: str) -> str:
    """12 for task 12_3 of an array, and for job 12."""
    return id.partition("_")[0]


def submission_folder(batch: Sequence[Job]) -> Path:
    """Where submitit keeps scripts, pickles and SLURM's own logs: beside the runs, on their shared file system."""
    return batch[0].folder.path.absolute().parent / ".slurm"


def report(id: str, state: str, restarts: str) -> JobReport:
    """How a job does by squeue's words for it."""
    if state in RUNNING_STATES:
        return JobReport(JobState.RUNNING)
    if state in QUEUED_STATES:
        return JobReport(JobState.REQUEUED if restarts not in ("0", "N/A") else JobState.QUEUED)
    if state == "COMPLETED":
        return JobReport(JobState.DONE)
    if state == "FAILED":
        return JobReport(JobState.FAILED, f"job {id} failed")
    what = KILLED_BECAUSE.get(state, f"ended as {state.lower()}") if state else "has left the queue"
    return JobReport(JobState.KILLED, f"job {id} {what}")


def max_array_size() -> int:
    """Most tasks of an array on this cluster."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config", times=1))
    except UserError:
        found = None
    return max(1, int(found[1])) if found else MAX_ARRAY_SIZE


def ask(*command: str, times: int = 3) -> str:
    """What a command of SLURM's answers.

    Args:
        times: how often a controller is asked that doesn't answer, being busy.

    Raises:
        UserError: it does not answer.
    """
    error: Exception | None = None
    for attempt in range(times):
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=120
            )
            return done.stdout
        except FileNotFoundError as missing:
            raise UserError(f"{command[0]} is not on this machine: log in to the cluster") from missing
        except (OSError, subprocess.SubprocessError) as failure:
            error = failure
            said = str(getattr(failure, "stderr", None) or "")
            if attempt + 1 == times or any(words in said for words in NO_CLUSTER):
                break
            time.sleep(ASK_AGAIN_SECONDS)
    raise UserError(f"{command[0]} did not answer: {refusal(str(getattr(error, 'stderr', None) or error))}") from error


def refusal(text: str) -> str:
    """The line of a command's output that says why it failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or ["it says nothing"])[-1]

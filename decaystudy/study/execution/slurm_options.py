"""What SLURM is asked for: the settings under --slurm, sbatch options beside them, and time limits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass

from decaystudy.checks import shown
from decaystudy.errors import UserError, nearest

# Every long option of sbatch, as getopt writes them: a flag, "name=" with a value, "name[=]" with or without one.
SBATCH_OPTIONS = (
    *("account=", "acctg-freq=", "array=", "batch=", "bb=", "bbf=", "begin=", "chdir=", "cluster=", "clusters="),
    *("cluster-constraint=", "comment=", "constraint=", "container=", "container-id=", "contiguous", "core-spec="),
    *("cores-per-socket=", "cpu-freq=", "cpus-per-gpu=", "cpus-per-task=", "deadline=", "delay-boot="),
    *("dependency=", "distribution=", "error=", "exclude=", "exclusive[=]", "export=", "export-file=", "extra="),
    *("extra-node-info=", "get-user-env[=]", "gid=", "gpu-bind=", "gpu-freq=", "gpus=", "gpus-per-node="),
    *("gpus-per-socket=", "gpus-per-task=", "gres=", "gres-flags=", "help", "hint=", "hold", "ignore-pbs", "input="),
    *("job-name=", "kill-on-invalid-dep=", "licenses=", "mail-type=", "mail-user=", "mcs-label=", "mem="),
    *("mem-bind=", "mem-per-cpu=", "mem-per-gpu=", "mincpus=", "network=", "nice[=]", "no-kill[=]", "no-requeue"),
    *("nodefile=", "nodelist=", "nodes=", "ntasks=", "ntasks-per-core=", "ntasks-per-gpu=", "ntasks-per-node="),
    *("ntasks-per-socket=", "oom-kill-step[=]", "open-mode=", "output=", "overcommit", "oversubscribe", "parsable"),
    *("partition=", "power=", "prefer=", "priority=", "profile=", "propagate[=]", "qos=", "quiet", "reboot"),
    *("requeue", "reservation=", "resv-ports[=]", "segment=", "signal=", "sockets-per-node=", "spread-job"),
    *("stepmgr", "switches=", "test-only", "thread-spec=", "threads-per-core=", "time=", "time-min=", "tmp="),
    *("tres-bind=", "tres-per-job=", "tres-per-node=", "tres-per-socket=", "tres-per-task=", "uid=", "usage"),
    *("use-min-nodes", "verbose", "version", "wait", "wait-all-nodes=", "wckey=", "wrap="),
)
# Options that are decided elsewhere, each with the place.
OWNED = {
    "partition": "set --slurm.partition",
    "account": "set --slurm.account",
    "time": "set --slurm.time",
    "nodes": "set --slurm.nodes",
    "gpus-per-node": "set --slurm.gpus_per_node",
    "cpus-per-task": "set --slurm.cpus_per_task",
    "mem": "set --slurm.memory",
    "ntasks": "set --devices",
    "ntasks-per-node": "set --devices",
    "array": "the runs of a study are one array; --jobs says how many of them run at once",
    "job-name": "jobs are named by what they do, and RUN/slurm_job.json has the number of each",
    "output": "a run's output is in RUN/log.txt",
    "error": "a run's output is in RUN/log.txt",
    "open-mode": "a run's output is in RUN/log.txt",
    "requeue": "jobs are always requeued, and resume",
    "no-requeue": "jobs are always requeued, and resume",
    "signal": "jobs are always warned 90 seconds ahead, save, and are requeued",
    "kill-on-invalid-dep": "an evaluation is always dropped when its training fails",
    **dict.fromkeys(("help", "usage", "version", "verbose", "quiet"), "it is not about jobs"),
    **dict.fromkeys(("parsable", "test-only", "wait", "wrap", "ignore-pbs"), "it changes how sbatch is called"),
}
# Options whose values hold names and signs of equality of their own.
INNER_NAMES = {
    "acctg-freq": ("task", "energy", "network", "filesystem"),
    "gpu-freq": ("memory", "graphics", "verbose"),
}
_FORMS = {re.sub(r"\[?=\]?$", "", option): option for option in SBATCH_OPTIONS}
_UNSEEN = {"\n": "a line break", "\r": "a line break", "\t": "a tab"}
_MEMORY = re.compile(r"\d+(\.\d+)?\s*[KMGT]?(i?B)?", re.IGNORECASE)
_TIME = re.compile(r"(?:(?P<days>\d{1,9})-)?(?P<first>\d{1,9})(?::(?P<second>\d{1,9}))?(?::(?P<third>\d{1,9}))?")


@dataclass(frozen=True)
class SlurmOptions:
    """What a job asks the cluster for."""

    partition: str | None = None
    """Partition to submit to; the cluster's default unless set."""
    account: str | None = None
    """Account to charge."""
    time: str = "24:00:00"
    """Time limit of a job as SLURM writes it: minutes, hours:minutes:seconds or days-hours. A run that needs longer
    is requeued and resumes."""
    gpus_per_node: int | None = None
    """GPUs of each node; as many as --devices unless set, 0 for runs on a CPU."""
    nodes: int = 1
    """Nodes of each run."""
    cpus_per_task: int | None = None
    """CPUs of each process; the run's threads, else 8, unless set."""
    memory: str | None = None
    """Memory of each node, such as 64GB; the cluster's default unless set."""
    extra: str | None = None
    """Other sbatch options, as in qos=high,exclude=node01,node02,exclusive."""

    def __post_init__(self) -> None:
        for name, number, least in (
            ("gpus_per_node", self.gpus_per_node, 0),
            ("nodes", self.nodes, 1),
            ("cpus_per_task", self.cpus_per_task, 1),
        ):
            if number is not None and number < least:
                raise UserError(f"--slurm.{name} is {number}: give at least {least}")
        for name, text in asdict(self).items():
            unseen = next((one for one in text if not one.isprintable()), None) if isinstance(text, str) else None
            if unseen is not None:
                what = _UNSEEN.get(unseen) or _unicode_name(unseen)
                raise UserError(
                    f"--slurm.{name} is {shown(text)}, with {what} in it: a line of sbatch options takes visible "
                    "characters and plain spaces only; take it out"
                )
        if self.memory is not None and not _MEMORY.fullmatch(self.memory.strip()):
            raise UserError(f"--slurm.memory is {shown(self.memory)}: give a number with a unit, such as 64GB")
        minutes(self.time)
        parse_extra(self.extra)


def _unicode_name(character: str) -> str:
    """As in U+00A0 (no-break space)."""
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character').lower()})"


def minutes(limit: str) -> int:
    """A time limit in whole minutes, rounded up.

    Raises:
        UserError: SLURM would not read it as a limit.
    """
    found = _TIME.fullmatch(limit.strip())
    seconds = 0.0
    if found:
        first, second, third = (int(found[name] or 0) for name in ("first", "second", "third"))
        if found["days"] is not None:  # days-hours[:minutes[:seconds]]
            seconds = int(found["days"]) * 86400 + first * 3600 + second * 60 + third
        elif found["third"] is not None:  # hours:minutes:seconds
            seconds = first * 3600 + second * 60 + third
        else:  # minutes[:seconds]
            seconds = first * 60 + second
    if seconds <= 0:
        raise UserError(
            f"--slurm.time is {limit!r}: give a time limit as minutes, hours:minutes:seconds, days-hours or "
            "days-hours:minutes:seconds, such as 24:00:00"
        )
    return int(-(-seconds // 60))


def parse_extra(text: str | None) -> dict[str, str | bool]:
    """sbatch options from ``qos=high,exclude=node01,node02,exclusive``.

    The text is split at commas. A piece that is no option of sbatch belongs to the value before it.

    Returns:
        Values by option; True for a flag.

    Raises:
        UserError: an option that sbatch doesn't have, that another setting owns, or that lacks its value.
    """
    found: dict[str, str | bool] = {}
    last = ""
    for piece in [] if text is None else text.split(","):
        piece = piece.strip()
        written, equals, value = piece.partition("=")
        name = written.removeprefix("--").replace("_", "-")
        if not piece:
            raise UserError(f"--slurm.extra {text!r} has nothing between two commas, or at an end: remove the comma")
        if last and _belongs_to(last, name, bool(equals)):
            if not isinstance(found[last], str):
                raise UserError(f"--slurm.extra {text!r}: {last} takes no value, so {piece!r} belongs to nothing")
            found[last] = f"{found[last]},{piece}"
            continue
        if name not in _FORMS:
            close = nearest(name, _FORMS)
            hint = f"did you mean {close}?" if close else "see man sbatch for its long options"
            raise UserError(f"--slurm.extra {text!r}: sbatch has no option {written!r}: {hint}")
        if name in OWNED:
            raise UserError(f"--slurm.extra {text!r}: {name} cannot be set here: {OWNED[name]}")
        if name in found:
            raise UserError(f"--slurm.extra {text!r}: {name} stands there twice: keep one")
        if equals and not value.strip():
            raise UserError(f"--slurm.extra {text!r}: {name} has no value after its =: give one")
        if not equals and _FORMS[name].endswith("="):
            raise UserError(f"--slurm.extra {text!r}: {name} needs a value: write {name}=…")
        if equals and "=" not in _FORMS[name]:
            raise UserError(f"--slurm.extra {text!r}: {name} takes no value: write {name} alone")
        found[name] = value if equals else True
        last = name
    return found


def instead_of(name: str) -> str | None:
    """What to do in place of ``--slurm.NAME``, where that is an option of sbatch; else None."""
    option = name.replace("_", "-")
    if option not in _FORMS or option in OWNED:
        return OWNED.get(option)
    return f"write --slurm.extra {option}{'=…' if _FORMS[option].endswith('=') else ''}"


def _belongs_to(option: str, name: str, equals: bool) -> bool:
    """Whether a piece that begins with ``name`` continues the value of ``option``."""
    if name in INNER_NAMES.get(option, ()):
        return True
    if option == "export" and name.isupper():
        return True  # a variable of the environment
    return name not in _FORMS and not equals


def join_extra(arguments: list[str]) -> list[str]:
    """``--slurm.extra --qos=high`` as ``--slurm.extra=--qos=high``, which argparse would take for another flag, and
    several --slurm.extra as one."""
    kept: list[str] = []
    extras: list[str] = []
    words = iter(arguments)
    for word in words:
        if word.startswith("--slurm.extra="):
            extras.append(word.removeprefix("--slurm.extra="))
        elif word == "--slurm.extra" and (value := next(words, None)) is not None:
            extras.append(value)
        else:
            kept.append(word)
    return [*kept, f"--slurm.extra={','.join(extras)}"] if extras else kept

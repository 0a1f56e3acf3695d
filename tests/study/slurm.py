"""A real one-node SLURM of Debian's packages, in a folder of its own. Needs root, as slurmd does."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")
CONFIGURATION = """
ClusterName=decaystudy
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port}
SlurmdPort={other_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
KillWait=3
MinJobAge=10
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer=false
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no SLURM here; empty if there can."""
    if os.getuid() != 0:
        return "slurmd needs root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@contextmanager
def running(folder: Path) -> Iterator["Cluster"]:
    """A cluster, which this process's environment names while the block runs; without SLURM the test is skipped."""
    if missing():
        pytest.skip(f"no SLURM: {missing()}")
    made = Cluster(folder)
    before = dict(os.environ)
    try:
        made.start()
        os.environ.update(made.environment)
        yield made
    finally:
        made.stop()
        os.environ.clear()
        os.environ.update(before)


class Cluster:
    """Starts in ``start`` and ends in ``stop``; ``environment`` is what its clients need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        port, other = free_port(), free_port()
        host = socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(folder=self.folder, host=host, port=port, other_port=other, cpus=os.cpu_count())
        Path(self.environment["SLURM_CONF"]).write_text(text)
        places = [f"--{name}-file={self.folder / ('munge.' + name)}" for name in ("key", "pid", "log", "seed")]
        self._run("munged", "--foreground", "--force", f"--socket={self.folder / 'munge.socket'}", *places)
        self._run("slurmctld", "-D", "-c")
        self._run("slurmd", "-D", "-N", host)
        deadline = time.monotonic() + 60
        while "idle" not in self.ask("sinfo", "--noheader", "--format", "%T"):
            assert time.monotonic() < deadline, (self.folder / "slurmctld.log").read_text()
            time.sleep(0.5)

    def stop(self) -> None:
        self.ask("scancel", "--me")
        deadline = time.monotonic() + 30
        while self.ask("squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.5)
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self, *command: str) -> str:
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout

    def _run(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.out", "wb") as log:
            environment = {**os.environ, **self.environment}
            self._processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

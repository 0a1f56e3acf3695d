"""The end of a run from outside, by a signal or because its time is up: with a checkpoint, after the current step."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import lightning.pytorch as L
import torch

from decaystudy.errors import STOPPED, STOPPING_SIGNALS, raise_terminated, signal_code, signal_name
from decaystudy.training.callbacks.checkpoints import Checkpoints

TIME_IS_UP = -1
"""Stands for ``trainer.max_time`` where a signal's number is expected."""


class Stopped(BaseException):
    """The run was ended from outside. Not an Exception, so that nothing takes it for a failure and goes on.

    Args:
        cause: number of the signal, or ``TIME_IS_UP``.
        step: of the checkpoint that was written for it; None if it ended at once.
    """

    def __init__(self, cause: int, step: int | None = None) -> None:
        self.cause = cause
        self.step = step
        super().__init__(f"stopped by {self.by}" + (f" after step {step}" if step is not None else ""))

    @property
    def by(self) -> str:
        """What ended it, in words."""
        return "trainer.max_time" if self.cause == TIME_IS_UP else signal_name(self.cause)

    @property
    def exit_code(self) -> int:
        return STOPPED if self.cause == TIME_IS_UP else signal_code(self.cause)


class Stop(L.Callback):
    """Ends the run after the step in which a signal arrives, or in which its time is up. All processes end together.

    Outside of steps, and at the second Ctrl-C, a signal ends the run at once.

    Args:
        checkpoints: writes the checkpoint.
        seconds: that this process may train; None for no limit.
        notice: shows a line where output is redrawn in place; False if it is not.
    """

    def __init__(
        self, checkpoints: Checkpoints, seconds: float | None, notice: Callable[[str], bool] = lambda text: False
    ) -> None:
        self.checkpoints = checkpoints
        self.seconds = seconds
        self.notice = notice
        self._asked = 0
        self._in_steps = False
        self._step = 0
        self._began = 0.0
        self._group: Any = None
        self._pid = os.getpid()
        self._taken: tuple[int, ...] = ()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block runs. One that is ignored (``nohup``), or that whoever embeds this package
        handles itself, is left alone."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING_SIGNALS:
                handler = signal.getsignal(number)
                if handler in (signal.SIG_DFL, signal.default_int_handler, raise_terminated):
                    before[number] = signal.signal(number, self._hear)
        self._taken = tuple(before)
        try:
            yield
        finally:
            for taken, handler in before.items():
                signal.signal(taken, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a forked loader of data: its parent ends it
        if not self._in_steps or (self._asked == number == signal.SIGINT):
            raise Stopped(number)
        if not self._asked:
            self._asked = number
            again = "; again to stop at once" if number == signal.SIGINT else ""
            text = f"decaystudy: {signal_name(number)}: stopping with a checkpoint after this step{again}"
            if not self.notice(text):
                with contextlib.suppress(OSError):
                    os.write(2, f"{text}\n".encode())

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for taken in self._taken:  # Lightning has put its own handlers before them
            signal.signal(taken, self._hear)
        if trainer.world_size > 1:
            # On the CPU, so that no step waits for the device.
            self._group = torch.distributed.new_group(backend="gloo")
        self._began = time.monotonic()
        self._step = trainer.global_step
        self._in_steps = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step != self._step:  # not a micro-batch in the middle of a step
            self._step = trainer.global_step
            self._look(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._in_steps:
            self._look(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._in_steps = False

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._in_steps = False

    def _look(self, trainer: L.Trainer) -> None:
        """End the run if any of its processes is to end, unless this was its last step."""
        cause = self._asked
        if not cause and self.seconds is not None and time.monotonic() - self._began >= self.seconds:
            cause = TIME_IS_UP
        if self._group is not None:
            causes = torch.tensor([cause, -cause])
            torch.distributed.all_reduce(causes, torch.distributed.ReduceOp.MAX, group=self._group)
            cause = int(causes[0]) or -int(causes[1])
        if cause and trainer.global_step < trainer.max_steps:
            self.checkpoints.save(trainer)
            self.checkpoints.finish(trainer)
            raise Stopped(cause, trainer.global_step)

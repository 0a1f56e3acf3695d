"""The progress of a run: on the terminal, and facts for status.json."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L

from decaystudy.formatting import duration
from decaystudy.live import Display, can_redraw
from decaystudy.metrics import perplexity
from decaystudy.runs.heartbeat import Heartbeat
from decaystudy.training.callbacks.curves import Curves
from decaystudy.training.callbacks.step_loss import StepLoss
from decaystudy.training.callbacks.throughput import Throughput
from decaystudy.training.frame import RunTotals, frame
from decaystudy.training.lightning_module import LanguageModel

if TYPE_CHECKING:
    from rich.console import RenderableType

PATIENCE = 15.0
"""Seconds after which a slow first step is explained."""


class Progress(L.Callback):
    """Tells how far the run is, and gives the same facts to the heartbeat.

    On a terminal a few lines are redrawn in place, a few times a second at most and from what other callbacks have
    measured already; elsewhere there is a line every few seconds.

    Args:
        seconds: between two lines.
    """

    def __init__(
        self,
        heartbeat: Heartbeat | None,
        losses: StepLoss,
        throughput: Throughput,
        curves: Curves,
        totals: RunTotals,
        *,
        show: bool,
        seconds: float = 5.0,
    ) -> None:
        self.heartbeat = heartbeat
        self.losses = losses
        self.throughput = throughput
        self.curves = curves
        self.totals = totals
        self.show = show
        self.seconds = seconds
        self.display: Display | None = None
        self._facts: dict[str, Any] = {}
        self._slow_start: threading.Timer | None = None
        self._printed_at = 0.0
        self._validation: float | None = None
        self._began: tuple[float, int] | None = None

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Redraw in place while the block runs, where that is possible; the last lines stay."""
        if self.show and can_redraw():
            self.display = Display(self._frame)
        try:
            yield
        finally:
            if self.display is not None:
                self.display.close()
                self.display = None

    def notice(self, text: str) -> bool:
        """Show a line below the others, from the handler of a signal; False where nothing is redrawn in place."""
        if self.display is None or not self.display.shown:
            return False
        self.display.notice = text
        return True

    def _frame(self, width: int) -> RenderableType:
        return frame({**self.curves.latest, **self._facts}, self.totals, width)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._facts = {"step": trainer.global_step, "max_steps": trainer.max_steps}
        if self.display is not None:
            self.display.refresh(now=True)
        if self.show and trainer.is_global_zero:
            self._slow_start = threading.Timer(PATIENCE, _explain_slow_start)
            self._slow_start.daemon = True
            self._slow_start.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        self._stop_explaining()
        now, step = time.monotonic(), trainer.global_step
        if self._began is None:
            self._began = (now, step)
        facts: dict[str, Any] = {"step": step, "max_steps": trainer.max_steps}
        if self.losses.recent:
            facts["loss"] = self.losses.recent[-1]
        if self.throughput.rates:
            facts["tokens_per_second"] = self.throughput.rates[-1]
        if self._validation is not None:
            facts["val_loss"] = self._validation
        done = step - self._began[1]
        if done > 0:
            facts["seconds_left"] = (now - self._began[0]) / done * (trainer.max_steps - step)
        if self.heartbeat is not None:
            self.heartbeat.facts = facts
        self._facts = facts
        if self.display is not None:
            self.display.refresh(now=step == trainer.max_steps)
        elif self.show and (now - self._printed_at >= self.seconds or step == trainer.max_steps):
            self._printed_at = now
            print(progress_line(facts), file=sys.stderr, flush=True)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.display is not None:
            self.display.refresh()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop_explaining()

    def _stop_explaining(self) -> None:
        if self._slow_start is not None:
            self._slow_start.cancel()
            self._slow_start = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, LanguageModel)
        if trainer.sanity_checking or not pl_module.validation_losses:
            return
        self._validation = self._facts["val_loss"] = pl_module.validation_loss
        if self.show and trainer.is_global_zero:
            loss = self._validation
            print(
                f"step {trainer.global_step}: validation loss {loss:.4f}, perplexity {perplexity(loss):.2f}",
                file=sys.stderr,
                flush=True,
            )


def _explain_slow_start() -> None:
    if "fla" in sys.modules:
        print(
            "still in the first step: flash-linear-attention compiles its kernels for this GPU, once for each head "
            "size and dtype, which can take minutes (the result is kept in ~/.triton/cache)",
            file=sys.stderr,
            flush=True,
        )


def progress_line(facts: dict[str, Any]) -> str:
    """One line of progress."""
    parts = [f"step {facts['step']}/{facts['max_steps']}"]
    if "loss" in facts:
        parts.append(f"loss {facts['loss']:.4f}")
    if "tokens_per_second" in facts:
        parts.append(f"{facts['tokens_per_second']:,.0f} tokens/s")
    if "seconds_left" in facts:
        parts.append(f"{duration(facts['seconds_left'])} left")
    return "  ".join(parts)

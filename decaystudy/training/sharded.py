"""FSDP2 with sharded checkpoints: every process writes its own part, in the background, while training goes on."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.checkpoint.state_dict_saver import AsyncSaveResponse, async_save

from decaystudy.io import move_into_place
from decaystudy.training.checkpoints import REST, remove, unfinished, write_checksums


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's FSDP2, whose checkpoint is a folder of torch.distributed.checkpoint with checksums.

    The folder is written beside its place, by all processes and in the background, and the first process renames it
    once all have written their part. Only one is under way at a time.

    Args:
        processes: of the run.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=True)
        self._group: Any = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def setup_environment(self) -> None:
        if self._group is not None:
            return  # it is called before training and before each validation, and would make new device meshes
        super().setup_environment()
        # Its own, since training talks at the same time; on the CPU, where what is written has been copied to.
        self._group = torch.distributed.new_group(backend="gloo")

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Begin to write a checkpoint, once the one before has been written."""
        self.finish_checkpoint()
        path = Path(filepath)
        folder = unfinished(path)
        state = {"state_dict": checkpoint.pop("state_dict")}
        state |= {f"optimizer_{i}": each for i, each in enumerate(checkpoint.pop("optimizer_states", []))}
        if self.is_global_zero:
            remove(folder)
            folder.mkdir()
            torch.save(checkpoint, folder / REST)
        self.barrier()
        begun = async_save(state, checkpoint_id=folder, process_group=self._group)
        if isinstance(begun, AsyncSaveResponse):
            begun.staging_completion.result()
            begun = begun.upload_completion
        self._writing = self._thread.submit(self._settle, begun, folder, path)

    def _settle(self, written: Future[Any], folder: Path, path: Path) -> None:
        """Put a checkpoint into its place when all processes have written their part, of which the first one knows."""
        try:
            written.result()
        except CheckpointException as error:
            for cause, _ in error.failures.values():
                if isinstance(cause, OSError):
                    raise OSError(cause.errno, cause.strerror) from error
            raise
        if self.is_global_zero:
            write_checksums(folder)
            remove(path)
            move_into_place(folder, path)

    def finish_checkpoint(self) -> None:
        """Wait until the checkpoint that is under way is in its place. All processes take part.

        Raises:
            OSError: it could not be written.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()
            self.barrier()

    def full_state_dict(self) -> dict[str, Any]:
        """The whole model's state on the first process, gathered from all."""
        assert self.model is not None
        return get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))

"""A DataLoader whose processes hand on their errors as they are, where torch would wrap them in a traceback's text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from decaystudy.errors import Failure, UserError
from decaystudy.imports import adopt_own_objects, blamed

ENDED = (
    "a process that loads batches was killed, as it is where memory runs out: run the same command again, "
    "with a smaller --data.num_workers if that was why"
)


class Loader(DataLoader[Any]):
    """Raises an error that a process yields in place of a batch; see ``told_errors``."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                if self.num_workers and lost_process(error):
                    raise Failure(ENDED) from error
                raise
            if isinstance(batch, Exception):
                raise batch
            yield batch


def lost_process(error: Exception) -> bool:
    """Whether a DataLoader fails because one of its processes is gone, with batches that it had still to hand on."""
    return not isinstance(error, RuntimeError) or str(error).startswith("DataLoader worker (pid")


def told_errors(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches and, in place of the one at which they fail, the error: a sentence for whoever calls, or an OSError.

    Any other error is a fault of this package, and stays as it is.
    """
    try:
        yield from batches
    except (UserError, Failure) as error:
        yield type(error)(str(error))
    except OSError as error:
        yield blamed(error) or OSError(error.errno, error.strerror, error.filename)  # torch would lose its errno
    except (Exception, SystemExit) as error:
        told = blamed(error)
        if told is None:
            raise
        yield told


def prepare_worker(known: Mapping[str, str], worker: int) -> None:
    """Have a new process know the user's own code."""
    adopt_own_objects(known)


def as_it_is(batch: Any) -> Any:
    return batch

"""Searches: each cell is tried under several settings, and compared at those that suit it best.

Trials are trained on tuning seeds and judged on tuning documents; the settings that they choose are then trained on the
seeds and judged on the documents that the study reports, so that no choice flatters a reported number.

A search proposes the next trials from the results of those before. A sweep proposes all of its values at once. One of
your own derives from ``Search`` and is named by its import path in a study file, with its arguments beside it:

    tune: {search: mypackage.searches.Bisect, low: 1e-4, high: 1e-2}
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decaystudy.errors import UserError
from decaystudy.imports import import_object

MOST_TRIALS = 100
"""Trials of one cell beyond which a search is taken to be endless."""
SHORT = {"learning_rate": "lr"}


@dataclass(frozen=True)
class Trial:
    """Settings under which a cell is tried, by the names that a study file gives them."""

    settings: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Trial:
        """A trial of these settings; their order doesn't matter."""
        return cls(tuple(sorted(settings.items())))

    @property
    def label(self) -> str:
        """``lr0.003``, for names of runs."""
        return "-".join(
            f"{SHORT.get(name, name)}{value:g}" if isinstance(value, float) else f"{SHORT.get(name, name)}{value}"
            for name, value in self.settings
        )

    def as_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return dict(self.settings)


@dataclass(frozen=True)
class TrialResult:
    """The results of a trial: its loss on the tuning documents for each of the tuning seeds, in nats per token."""

    settings: Mapping[str, Any]
    losses: tuple[float | None, ...]
    """None for a run that diverged or failed."""

    @property
    def loss(self) -> float | None:
        """Mean over seeds; None unless all finished, for a trial that fails must not win by its other seeds."""
        known = [loss for loss in self.losses if loss is not None]
        return sum(known) / len(known) if known and len(known) == len(self.losses) else None


class Search(ABC):
    """Tries a cell under several settings. Every cell of a study is searched by itself, by the same rule.

    All cells are chosen from the same number of trials: where one had fewer, only the first of the others count.
    """

    @property
    def words(self) -> str:
        """What a cell is compared at."""
        return f"the settings that {type(self).__name__} chose for it"

    @abstractmethod
    def propose(self, results: Sequence[TrialResult]) -> Sequence[Mapping[str, Any]]:
        """Settings to try next, by name, such as [{"learning_rate": 1e-3}]; none when the search is over.

        Args:
            results: of all trials so far, in the order of their proposal; empty at first.
        """

    def choose(self, results: Sequence[TrialResult]) -> Mapping[str, Any]:
        """The settings at which the cell is compared: those of the lowest mean loss.

        Args:
            results: at least one of which has a loss.
        """
        known = [(result.loss, number) for number, result in enumerate(results) if result.loss is not None]
        return results[min(known)[1]].settings


@dataclass(frozen=True)
class Sweep(Search):
    """Every value of one setting."""

    setting: str
    """Its name, as ``learning_rate`` or ``p``."""
    values: tuple[Any, ...]

    @property
    def words(self) -> str:
        return f"its best {self.setting.replace('_', ' ')} of {', '.join(f'{value}' for value in self.values)}"

    def propose(self, results: Sequence[TrialResult]) -> Sequence[Mapping[str, Any]]:
        return [] if results else [{self.setting: value} for value in self.values]


def open_search(path: str, arguments: Mapping[str, Any]) -> Search:
    """A search of the user's own, by import path.

    Raises:
        UserError: it cannot be imported, is no search, or takes other arguments.
    """
    found = import_object(path, "search")
    if not (isinstance(found, type) and issubclass(found, Search)):
        raise UserError(f"{path!r} is not a search: derive it from decaystudy.study.definition.search.Search")
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        raise UserError(
            f"search {path!r} takes other arguments than {', '.join(arguments) or 'none'}: {error}"
        ) from None
    return found(**arguments)


def new_trials(search: Search, results: Sequence[TrialResult], known: Sequence[Trial]) -> list[Trial]:
    """The trials that a search proposes beyond those that are known.

    Raises:
        UserError: the search never ends, or raises.
    """
    try:
        proposed = [Trial.of(settings) for settings in search.propose(results)]
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{type(search).__name__}.propose failed: {type(error).__name__}: {error}") from error
    fresh = [trial for trial in dict.fromkeys(proposed) if trial not in known]
    if len(known) + len(fresh) > MOST_TRIALS:
        raise UserError(
            f"{type(search).__name__} proposes more than {MOST_TRIALS} trials for a cell: let it end sooner"
        )
    return fresh


def choose(search: Search, results: Sequence[TrialResult]) -> Trial | None:
    """The trial that a search chooses; None if no trial has a loss.

    Raises:
        UserError: the search fails, or chooses something that it has not tried.
    """
    if all(result.loss is None for result in results):
        return None
    try:
        chosen = Trial.of(search.choose(results))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{type(search).__name__}.choose failed: {type(error).__name__}: {error}") from error
    if chosen not in [Trial.of(result.settings) for result in results if result.loss is not None]:
        raise UserError(f"{type(search).__name__} chooses {chosen.label}, which no finished trial has: choose another")
    return chosen

"""Which settings a study tries for each cell: ``tune`` of its file, or ``--sweep``."""

from __future__ import annotations

from typing import Any

from decaystudy.errors import UserError
from decaystudy.study.definition.search import Search, Sweep, open_search
from decaystudy.study.definition.settings import SHORT_NAMES, Setting, SettingNames, coerce
from decaystudy.yaml_document import YamlDocument, scalar


def read_tune(document: YamlDocument, names: SettingNames) -> Search | str | None:
    """What ``tune`` asks for: a search, or ``lr`` for the learning rates around the scale's own; None without it.

    Raises:
        UserError: it is something else.
    """
    value = document.values.get("tune")
    if value is None or value in ("lr", "learning_rate"):
        return None if value is None else "lr"
    if isinstance(value, dict) and isinstance(value.get("search"), str):
        try:
            return open_search(value["search"], {key: item for key, item in value.items() if key != "search"})
        except UserError as error:
            raise document.error(str(error), "tune", "search") from error
    if isinstance(value, dict) and len(value) == 1:
        name, levels = next(iter(value.items()))
        setting = names.find(name)
        if setting is None:
            raise document.unknown_key(name, sorted(names.short), "tune", name, what="setting")
        try:
            return Sweep(setting_name(setting, name), sweep_values(setting, levels))
        except (TypeError, ValueError) as error:
            raise document.error(f"tune.{name} takes values to try, such as [1e-4, 3e-4]: {error}", "tune") from error
    raise document.error(
        "tune takes lr, one setting with values to try, as tune: {lr: [1e-4, 3e-4, 1e-3]}, or a search of your own, as "
        "tune: {search: mypackage.searches.Bisect}",
        "tune",
    )


def parse_sweep(text: str, names: SettingNames) -> Sweep:
    """A sweep from ``lr=1e-4,3e-4,1e-3``.

    Raises:
        UserError: it is something else.
    """
    name, equals, values = text.partition("=")
    setting = names.find(name.strip())
    if setting is None or not equals:
        hint = "" if not equals else f": {names.hint(name.strip())}"
        raise UserError(
            f"--tune (or --sweep) {text!r} is not understood: give a setting and values, such as lr=1e-4,3e-4{hint}"
        )
    try:
        return Sweep(setting_name(setting, name.strip()), sweep_values(setting, [scalar(v) for v in values.split(",")]))
    except (TypeError, ValueError) as error:
        raise UserError(f"--tune (or --sweep) {text!r}: {error}; such as lr=1e-4,3e-4,1e-3") from error


def sweep_values(setting: Setting, values: Any) -> tuple[Any, ...]:
    """Different values of a setting, with its type.

    Raises:
        TypeError, ValueError: they are none.
    """
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError("give a list")
    typed = tuple(coerce(setting, value) for value in values)
    if setting == ("recipe", "learning_rate") and min(typed) <= 0:
        raise ValueError("learning rates are above 0")
    if len(set(map(str, typed))) != len(typed):
        raise ValueError("a value stands there twice")
    return typed


def setting_name(setting: Setting, name: str) -> str:
    """The name by which trials call a setting: its last word where that is a short name."""
    return setting[-1] if setting[-1] in SHORT_NAMES else name

"""The settings that a study file may name, by their short or full names, and their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from decaystudy.checks import shown
from decaystudy.data.config import DataConfig
from decaystudy.decay import DECAYS
from decaystudy.decay.base import option_names
from decaystudy.decay.registry import decay_class
from decaystudy.errors import nearest
from decaystudy.model.config import ModelConfig
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.runs.trainer import OBEYED, REFUSED
from decaystudy.yaml_document import YamlDocument

Setting = tuple[str, ...]
"""A setting's full path: ("model", "decay"), ("recipe", "learning_rate"), ("model", "decay_options", "p")."""

SECTIONS: dict[str, type] = {"model": ModelConfig, "recipe": RecipeConfig, "data": DataConfig}
OPTIONS = sorted({option for decay in DECAYS.values() for option in option_names(decay)})
# Fields of DataConfig whose bare names would say too little in a study file.
_DATA_BY_FULL_NAME = ("name", "config", "split", "files", "column", "group")
# What every run of a study must leave alone: the study sets it.
_NOT_IN_STUDIES = ("vocab_size", "tuning")
_SET_ELSEWHERE = {
    **{name: f"give --{name} to run-study" for name in ("threads", "strategy", "logger", "jobs", "devices", "gpu")},
    **{name: "set seeds at the top of the study" for name in ("seed", "seeds")},
    **{name: "set scale at the top of the study" for name in ("scale", "scales")},
}
DESIGN = (
    "decay",
    "decay_options",
    "granularity",
    "sharing",
    "dplr",
    "beta_max",
    "decay_rank",
    "output_norm",
    "position",
    "mixer",
)
"""Fields of ModelConfig that make the design space; the others are sizes."""


@dataclasses.dataclass(frozen=True)
class SettingNames:
    """The names by which a study file may call settings: those of the package, and options of the user's own decays."""

    options: tuple[str, ...] = ()
    """Options of decays that the file names by import path."""

    @property
    def short(self) -> dict[str, Setting]:
        """Settings by short name. A setting of the package keeps its short name where an option has the same."""
        own: dict[str, Setting] = {option: ("model", "decay_options", option) for option in self.options}
        return {**own, **SHORT_NAMES}

    def hint(self, name: str) -> str:
        """What may have been meant by an unknown name."""
        close = nearest(name, self.short)
        return f"did you mean {close!r}?" if close else f"choose from {', '.join(sorted(self.short))}"

    def find(self, name: str) -> Setting | None:
        """The setting called ``name`` (``sharing``, ``learning_rate``, ``p``, ``data.source``), or None."""
        if name in self.short:
            return self.short[name]
        section, _, rest = name.partition(".")
        if section == "decay_options" and rest:
            return ("model", "decay_options", rest)
        if section == "trainer" and rest in (*OBEYED, *REFUSED):
            return ("trainer", rest)
        if section in SECTIONS and rest:
            field, _, inner = rest.partition(".")
            if field in field_names(section) and field not in _NOT_IN_STUDIES:
                if not inner:
                    return (section, field)
                if field == "decay_options":
                    return (section, field, inner)
        return None


def _short_names() -> dict[str, Setting]:
    names: dict[str, Setting] = {option: ("model", "decay_options", option) for option in OPTIONS}
    names |= {name: ("trainer", name) for name in ("max_steps", "precision")}
    names["lr"] = ("recipe", "learning_rate")
    for section, kind in reversed(SECTIONS.items()):
        for field in dataclasses.fields(kind):
            if field.name not in _NOT_IN_STUDIES and not (section == "data" and field.name in _DATA_BY_FULL_NAME):
                names[field.name] = (section, field.name)
    return names


SHORT_NAMES = _short_names()


def setting_names(document: YamlDocument) -> SettingNames:
    """The names that a study file may use, given the decays that it names by import path."""
    values = document.values
    options: dict[str, None] = {}
    for part in ("settings", "cells", "grid"):
        for name in _decays_in(values.get(part)):
            if "." in name:
                options |= dict.fromkeys(option_names(decay_class(name)))
    return SettingNames(tuple(options))


def _decays_in(values: Any) -> Iterator[str]:
    """Every decay that is named somewhere below ``values``."""
    if isinstance(values, list):
        for value in values:
            yield from _decays_in(value)
    elif isinstance(values, dict):
        for key, value in values.items():
            if key in ("decay", "model.decay"):
                yield from _words_in(value)
            yield from _decays_in(value)


def _words_in(value: Any) -> Iterator[str]:
    """A decay, or those of a grid's levels: a list of names, or labels with names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _words_in(item) if isinstance(item, (str, dict)) else ()


def field_names(section: str) -> list[str]:
    """The settings of a section."""
    return [field.name for field in dataclasses.fields(SECTIONS[section])]


def nest(settings: Mapping[Setting, Any]) -> dict[str, Any]:
    """Nested dictionaries from settings by full path, as RunConfig takes them."""
    nested: dict[str, Any] = {}
    for path, value in settings.items():
        inner = nested
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        if isinstance(value, Mapping) and isinstance(inner.get(path[-1]), Mapping):
            inner[path[-1]] = {**inner[path[-1]], **value}
        else:
            inner[path[-1]] = dict(value) if isinstance(value, Mapping) else value
    return nested


def flatten(nested: Mapping[str, Any], prefix: Setting = ()) -> dict[Setting, Any]:
    """Settings by full path from nested dictionaries."""
    flat: dict[Setting, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and (value or not prefix):
            flat |= flatten(value, (*prefix, str(key)))
        else:
            flat[(*prefix, str(key))] = value
    return flat


def coerce(path: Setting, value: Any) -> Any:
    """``value`` as the setting's type has it (1 becomes 1.0 for a number).

    Raises:
        TypeError: it has another type; the message says which is wanted.
    """
    if path[0] not in SECTIONS or len(path) != 2:
        return value
    wanted = _hints(SECTIONS[path[0]])[path[1]]
    if path == ("recipe", "betas"):
        if isinstance(value, list) and len(value) == 2 and all(_is(item, float) for item in value):
            return value
        raise TypeError("give two numbers")
    if isinstance(value, int) and not isinstance(value, bool) and wanted is float:
        return float(value)
    if _is(value, wanted):
        return value
    raise TypeError(f"give {_words(wanted)}")


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _hint_cache:
        _hint_cache[kind] = typing.get_type_hints(kind)
    return _hint_cache[kind]


_hint_cache: dict[type, dict[str, Any]] = {}


def _is(value: Any, wanted: Any) -> bool:
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, option) for option in typing.get_args(wanted))
    if origin is typing.Literal:
        return value in typing.get_args(wanted) or isinstance(value, str)  # which strings, the section says better
    if wanted is Any:
        return True
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or wanted)


def _words(wanted: Any) -> str:
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(option) for option in typing.get_args(wanted))
    if origin is typing.Literal:
        return " or ".join(str(choice) for choice in typing.get_args(wanted))
    return {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a word",
        type(None): "null",
        dict: "options by name",
    }.get(origin or wanted, str(wanted))


def read_settings(
    document: YamlDocument, names: SettingNames, values: Any, path: tuple[str | int, ...]
) -> dict[Setting, Any]:
    """Settings by full path from a mapping of the file, each checked for its name and type."""
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise document.error(f"{path[-1]} must be settings by name, such as decay: gla", *path)
    settings: dict[Setting, Any] = {}
    for key, value in values.items():
        if key in (*SECTIONS, "trainer") and isinstance(value, dict):
            inner = {f"{key}.{name}": item for name, item in value.items()}
            items = [(name, item, (*path, key, name.partition(".")[2])) for name, item in inner.items()]
        else:
            items = [(key, value, (*path, key))]
        for name, item, where in items:
            setting = names.find(name)
            if setting is None and name in _SET_ELSEWHERE:
                raise document.error(f"{name} is no setting of a cell: {_SET_ELSEWHERE[name]}", *where)
            if setting is None:
                if name in OBEYED:
                    raise document.error(f"unknown setting {name!r}: did you mean 'trainer.{name}'?", *where)
                choices = sorted({*names.short, *(f"{s}.…" for s in (*SECTIONS, "trainer"))})
                raise document.unknown_key(name, choices, *where, what="setting")
            try:
                value_as_typed = coerce(setting, item)
            except TypeError as error:
                raise document.error(f"{name} is {shown(item)}: {error}", *where) from error
            _add(document, settings, setting, value_as_typed, where)
    return settings


def _add(
    document: YamlDocument, settings: dict[Setting, Any], setting: Setting, value: Any, where: tuple[str | int, ...]
) -> None:
    if setting == ("model", "decay_options"):
        for option, item in value.items():
            _add(document, settings, (*setting, str(option)), item, where)
        return
    if setting in settings:
        raise document.error(f"{'.'.join(setting)} is set twice here: keep one", *where)
    settings[setting] = value

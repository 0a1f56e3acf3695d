"""Where study files are found: the package's own by name, others by path."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import decaystudy
from decaystudy.errors import UserError, nearest
from decaystudy.yaml_document import load


def find_study(name: str) -> Path:
    """The file of a study by its name, or by its path.

    Raises:
        UserError: there is none; the message has the nearest name.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is a pipe or a device" if path.exists() else "does not exist"
            raise UserError(f"the study file {name} {what}: give a study's name or the path of its file")
        return path
    folder = studies_folder()
    path = folder / f"{name}.yaml"
    if path.is_file():
        return path
    names = study_names()
    close = nearest(name, names)
    hint = f"did you mean {close!r}? " if close else ""
    raise UserError(f"unknown study {name!r}: {hint}choose from {', '.join(names)}, or give the path of a study file")


def study_names() -> list[str]:
    """Names of the package's studies."""
    return sorted(file.stem for file in studies_folder().glob("*.yaml"))


def describe_studies() -> list[tuple[str, str]]:
    """Name and title of each study of the package."""
    return [(file.stem, str(load(file).values["title"])) for file in sorted(studies_folder().glob("*.yaml"))]


def studies_folder() -> Path:
    """Where the package's own study files are: beside the package in a checkout, else where they were installed.

    Raises:
        UserError: they are in neither place.
    """
    beside = Path(decaystudy.__file__).resolve().parents[1] / "studies"
    if (beside / "sharing.yaml").is_file():
        return beside
    try:
        files = importlib.metadata.files("decaystudy") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("studies", "sharing.yaml"):
            return Path(str(file.locate())).resolve().parent
    raise UserError("the package's study files are not installed: install decaystudy again with pip")

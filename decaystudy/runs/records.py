"""Records of a run: its config.yaml, and the versions that computed its numbers."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from decaystudy import __version__
from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.io import digest, read_mapping, write_text
from decaystudy.runs.config import CADENCES, SECTIONS, RunConfig, canonical, merge
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.origin import Origin, origin_known, origin_to_train, read_origin, why_changed, write_origin
from decaystudy.runs.result import RunResult
from decaystudy.runs.state import RunState
from decaystudy.runs.trainer import DECISIVE

LOG = logging.getLogger("decaystudy")
ALWAYS = ("step", "tokens", "val_loss", "val_perplexity", "unigram_entropy")
"""What the result of every finished run has."""
LAYOUT = ("backend", "num_workers", *CADENCES)
"""Settings of sections that no result depends on."""
PACKAGES = ("torch", "lightning", "tokenizers", "numpy", "flash-linear-attention", "triton")


def claim(folder: RunFolder, config: RunConfig) -> bool:
    """Write config.yaml and origin.json into a folder, before its run is trained or resumed.

    Returns:
        Whether the folder was new.

    Raises:
        UserError: the folder holds a run with other settings, or one that other code or data has begun, or weights of
            no run, as an exported model's, which the run would replace.
    """
    origin = origin_to_train(config)
    identity = run_identity(folder, config)
    if folder.begun():
        refuse_other_origin(folder, config, origin)
    new = not folder.config.exists()
    if new and folder.weights.exists():
        raise UserError(f"{folder.weights} is of no run (there is no config.yaml beside it): choose another --out")
    if new:
        write_text(folder.config, dump_config(config))
    elif (begun := begun_identity(folder)) not in (None, identity):
        LOG.warning(
            "%s doesn't record the settings that its run began with, or they were changed since: what it holds is of "
            "the run %s and this is %s, so that its checkpoints are set aside and the run begins anew",
            folder.path,
            begun,
            identity,
        )
    write_origin(folder, replace(origin, identity=identity, settings=settings_digest(folder)))
    return new


def run_identity(folder: RunFolder, config: RunConfig) -> str:
    """By what a folder's checkpoints and result are known: ``identity_hash`` of its run as it was when the run began.

    Today's may differ though no setting does: the folders of a project were moved, or a newer version has more
    settings. Where a setting in config.yaml was changed since, or where that isn't known, it is today's.

    Raises:
        UserError: the folder holds a run with other settings.
    """
    refuse_other_settings(folder, config)
    identity, settings = begun_identity(folder), settings_digest(folder)
    if identity and settings and settings == (read_mapping(folder.origin) or {}).get("settings"):
        return identity
    return config.identity_hash()


def begun_identity(folder: RunFolder) -> str | None:
    """The identity that origin.json records; None where it records none."""
    identity = (read_mapping(folder.origin) or {}).get("identity")
    return identity if isinstance(identity, str) and identity else None


def settings_digest(folder: RunFolder) -> str:
    """Digest of the settings in config.yaml that count for the results, as they stand there: paths as they are spelled,
    and no defaults of this version. Empty where there is no config.yaml.

    Raises:
        UserError: it is no run's configuration.
    """
    held = folder.read_config()
    if held is None:
        return ""
    counting: dict[str, Any] = {"seed": held.get("seed")}
    for section in SECTIONS:
        counting[section] = {name: value for name, value in section_of(held, section).items() if name not in LAYOUT}
    counting["trainer"] = {name: value for name, value in section_of(held, "trainer").items() if name in DECISIVE}
    return digest(json.dumps(canonical(counting), sort_keys=True, default=str).encode())


def section_of(held: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of config.yaml; empty where it is none."""
    values = held.get(name)
    return values if isinstance(values, Mapping) else {}


def finished_result(folder: RunFolder, config: RunConfig) -> RunResult | None:
    """The result of a folder whose run with these settings has finished; None where there is still something to do.

    Raises:
        UserError: the folder holds a run with other settings, or one of other code or data.
    """
    result = folder.read_result()
    if result is None or result.status != RunState.FINISHED:
        return None
    refuse_other_settings(folder, config)
    refuse_other_origin(folder, config, origin_known(config))
    missing = [name for name in ALWAYS if getattr(result, name) is None]
    if missing:
        raise UserError(
            f"{folder.result} is incomplete (it lacks {missing[0]!r}): remove it, and the same command finishes the "
            "run again from its last checkpoint"
        )
    return result


def refuse_other_settings(folder: RunFolder, config: RunConfig) -> None:
    """Refuse a folder that holds a run with other settings."""
    held = stored_config(folder)
    differences = [] if held is None else differing(held.identity(), config.identity())
    if differences:
        raise UserError(
            f"{folder.path} holds a run with other settings ({'; '.join(differences[:3])}): "
            "give this one another --out, or run that one again with --config "
            f"{folder.config}"
        )


def stored_config(folder: RunFolder, changes: Mapping[str, Any] = {}) -> RunConfig | None:
    """The run that config.yaml describes, with ``changes`` to its layout; None where there is none.

    Raises:
        UserError: its settings cannot be obeyed here; the message names the file.
    """
    held = folder.read_config()
    if held is None:
        return None
    try:
        return RunConfig.from_dict(merge(held, changes))
    except UserError as error:
        raise UserError(f"{folder.config}: {error}") from error
    except (TypeError, LookupError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{folder.config} is not a run's configuration ({error}): restore it from a copy, or name another folder"
        ) from error


def release(folder: RunFolder) -> None:
    """Take a claim back under which no step was trained, and the files that would mix with another run's."""
    for pattern in ("config.yaml", "origin.json", "status.json", "metrics.csv", "events.out.tfevents.*"):
        for path in folder.path.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()


def refuse_other_origin(folder: RunFolder, config: RunConfig, here: Origin) -> None:
    """Refuse a run that was trained, or begun, by other code or on other data than it would be now."""
    why = why_changed(read_origin(folder), here, config)
    if why is not None:
        raise UserError(f"{folder.path} cannot be used again ({why}): give this run another --out")


def dump_config(config: RunConfig, *, ascii_only: bool = False) -> str:
    """config.yaml's text.

    Args:
        ascii_only: spell all other characters by their numbers, which YAML reads as the characters themselves.
    """
    return yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=not ascii_only)


def differing(held: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> list[str]:
    """``a.b is 1 there and 2 here`` for each setting in which two identities differ."""
    found = []
    for key in [*held, *(key for key in asked if key not in held)]:
        one, other = held.get(key), asked.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differing(one, other, f"{prefix}{key}.")
        elif one != other:
            found.append(f"{prefix}{key} is {shown(one)} there and {shown(other)} here")
    return found


def versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"decaystudy": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The commit of the checkout that the package runs from, with ``-dirty`` where files differ; None elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() or None

"""Text datasets of the Hugging Face hub, read in place by ranges, at a revision pinned when first used."""

import datetime
import functools
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from decaystudy.data.folders import cache_json, lock
from decaystudy.data.network import brief, offline, transient, with_retries
from decaystudy.data.sources.base import TOKENIZER_BYTES, Document, Part, Source, checked_group, checked_text
from decaystudy.data.sources.files import PART_BYTES
from decaystudy.data.sources.parquet import check_columns, open_parquet, parquet_documents, parquet_parts
from decaystudy.errors import UserError, unknown
from decaystudy.io import cache_folder, digest, read_mapping, slug

if TYPE_CHECKING:
    from decaystudy.data.config import DataConfig

log = logging.getLogger("decaystudy")

FOOTER_READERS = 8
"""Connections used to read the footers of a dataset's files."""


class Hub(Source):
    """Any text dataset of the hub. Parquet files are read by row groups, other formats file by file."""

    summary: ClassVar[str] = "any text dataset of the Hugging Face hub (--data.name, .config, .split, .column, .group)"
    tokenizer: ClassVar[str] = "gpt2"
    tokenizer_bytes: ClassVar[int] = TOKENIZER_BYTES
    validation_fraction: ClassVar[float] = 0.01
    settings: ClassVar[tuple[str, ...]] = ("name", "config", "split", "column", "group", "revision")
    endless: ClassVar[bool] = False
    default_name: ClassVar[str | None] = None
    default_config: ClassVar[str | None] = None

    def __init__(
        self, name: str, config: str | None, split: str, column: str, pin: dict[str, Any], group: str | None = None
    ):
        self.name, self.config, self.split, self.column, self.group = name, config, split, column, group
        self.grouped = group is not None
        self.revision: str = pin["revision"]
        self.label = slug("-".join([name.rpartition("/")[2], *([config] if config else [])]))
        self._by_row_groups: bool = pin["by_row_groups"]
        self._parts = [Part(*row) for row in pin["parts"]]
        self._footers: dict[str, Any] = {}

    @classmethod
    def open(cls, config: "DataConfig") -> "Hub":
        """Find the revision, files and parts: on the hub at first use, in the cache from then on."""
        name, choice = config.name or cls.default_name or "", config.config or cls.default_config
        path = cls._pin_file(config)
        pin = read_pin(path)
        if pin is None:
            with lock(path.with_suffix(".lock")):
                pin = read_pin(path)
                if pin is None:
                    pin = survey(name, choice, config.split, config.column, config.revision, config.group)
                    cache_json(path, pin)
        source = cls(name, choice, config.split, config.column, pin, config.group)
        log.info("%s is read at revision %s, pinned on %s", name, source.revision, pin["date"])
        return source

    @classmethod
    def is_pinned(cls, config: "DataConfig") -> bool:
        """Whether ``open`` needs no network."""
        return read_pin(cls._pin_file(config)) is not None

    @classmethod
    def _pin_file(cls, config: "DataConfig") -> Path:
        name, choice = config.name or cls.default_name or "", config.config or cls.default_config
        wanted = [name, choice, config.split, config.column, config.revision]
        wanted += [] if config.group is None else [config.group]
        return cache_folder("sources", f"hub-{slug(name)}-{digest(wanted)[:12]}.json")

    def identity(self) -> dict[str, Any]:
        which = {"name": self.name, "config": self.config, "split": self.split, "column": self.column}
        named = {} if self.group is None else {"group": self.group}
        return {"source": "hub", "revision": self.revision, **which, **named}

    def parts(self) -> list[Part]:
        return self._parts

    def documents(self, part: Part) -> Iterator[Document]:
        reader = self._row_groups(part) if self._by_row_groups else self._rows(part)
        while True:
            with explained(f"read {part} of the dataset {self.name}"):
                try:
                    document = next(reader)
                except StopIteration:
                    return
            yield document

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_footers": {}}

    def _row_groups(self, part: Part) -> Iterator[Document]:
        with hub_file(self.name, self.revision, part.name) as file:
            where = f"{part.name} of the dataset {self.name}"
            if part.name not in self._footers:
                self._footers = {part.name: open_parquet(file, where).metadata}
            yield from parquet_documents(part, file, self.column, where, self._footers[part.name], self.group)

    def _rows(self, part: Part) -> Iterator[Document]:
        rows = streamed(self.name, self.config, self.split, self.revision)
        for number, row in enumerate(rows.shard(num_shards=len(self._parts), index=part.start), 1):
            check_columns(f"the dataset {self.name}", self.column, self.group, row)
            place = functools.partial("the dataset {}, row {} of {}".format, self.name, number, part)
            text = checked_text(row[self.column], self.column, place)
            owner = None if self.group is None else checked_group(row[self.group], self.group, place)
            yield Document(str(row["id"]) if row.get("id") is not None else text, text, owner)


class FinewebEdu(Hub):
    """The educational web pages of the paper."""

    about_tokens: ClassVar[int | None] = 10**10
    summary: ClassVar[str] = "HuggingFaceFW/fineweb-edu, config sample-10BT: 10 billion tokens of educational web pages"
    default_name: ClassVar[str | None] = "HuggingFaceFW/fineweb-edu"
    default_config: ClassVar[str | None] = "sample-10BT"


class explained:
    """Turns the hub's refusals into a UserError; errors that may pass are left to whoever tries again."""

    def __init__(self, what: str):
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, UserError) or transient(error):
            return
        if offline(error):
            raise UserError(
                f"could not {self.what}: the cache does not hold it and offline mode is on; "
                "run decaystudy prepare-data once without HF_HUB_OFFLINE"
            ) from error
        if isinstance(error, ValueError | OSError | RuntimeError):
            raise UserError(f"could not {self.what}: {brief(error)}") from error


def read_pin(path: Path) -> dict[str, Any] | None:
    """What ``survey`` gave; None where there is nothing, or nothing of that form.

    Raises:
        UserError: it is broken, and must not be made again unasked: the hub may have another revision by now.
    """
    pin = read_mapping(path)
    if pin is None and not (path.is_file() and path.stat().st_size):
        return None
    try:
        parts = [Part(*row) for row in (pin or {})["parts"]]
        texts = all(isinstance((pin or {})[name], str) for name in ("revision", "date"))
        if texts and all(isinstance(part.name, str) and isinstance(part.start, int) for part in parts):
            return {"by_row_groups": (pin or {})["by_row_groups"] is True, **(pin or {})}
    except (LookupError, TypeError):
        pass
    raise UserError(
        f"{path} is no note of a dataset's revision: remove it, and the revision that the hub has now is noted"
    )


def survey(
    name: str, config: str | None, split: str, column: str, revision: str | None, group: str | None = None
) -> dict[str, Any]:
    """The dataset's commit and its parts, in the order of its files; checks configuration, split and columns."""
    with explained(f"open the dataset {name}"):
        return with_retries(
            f"reach the dataset {name}",
            lambda: _survey(name, config, split, column, revision, group),
            first_contact=True,
        )


def _survey(
    name: str, config: str | None, split: str, column: str, revision: str | None, group: str | None
) -> dict[str, Any]:
    from huggingface_hub import HfApi

    commit = HfApi().dataset_info(name, revision=revision).sha
    assert commit is not None
    builder = open_builder(name, config, commit)
    files = builder.config.data_files
    if not files:
        raise UserError(f"the dataset {name} has no data files at revision {commit}: choose another --data.name")
    if split not in files:
        raise unknown(f"split of the dataset {name}", split, files)
    prefix = f"hf://datasets/{name}@{commit}/"
    names = [str(file).removeprefix(prefix) for file in files[split]]
    by_row_groups = all(file.endswith(".parquet") and not file.startswith("hf://") for file in names)
    if by_row_groups:
        log.info("reading the footers of %d files of %s, once", len(names), name)
        with ThreadPoolExecutor(FOOTER_READERS) as pool:
            found = pool.map(lambda file: footer(name, commit, file, column, group), names)
            parts = [part for run in found for part in run]
    else:
        count = streamed(name, config, split, commit).num_shards
        parts = [Part(f"shard {i} of {count}", i, i + 1) for i in range(count)]
    if not parts:
        raise UserError(f"the split {split} of the dataset {name} is empty: choose another --data.split")
    return {
        "revision": commit,
        "date": datetime.date.today().isoformat(),
        "by_row_groups": by_row_groups,
        "parts": [list(astuple(part)) for part in parts],
    }


def open_builder(name: str, config: str | None, revision: str) -> Any:
    """The datasets library's builder, which knows the files of a configuration."""
    datasets = import_datasets()
    try:
        return datasets.load_dataset_builder(name, config, revision=revision)
    except ValueError as error:
        names = datasets.get_dataset_config_names(name, revision=revision)
        if config is None and len(names) > 1:
            raise UserError(f"the dataset {name} needs --data.config: choose from {', '.join(names)}") from error
        if config is not None and config not in names:
            raise unknown(f"configuration of the dataset {name}", config, names) from error
        raise


def streamed(name: str, config: str | None, split: str, revision: str) -> Any:
    """The split as a datasets.IterableDataset."""
    datasets = import_datasets()
    return datasets.load_dataset(name, config, split=split, revision=revision, streaming=True)


def footer(name: str, revision: str, file_name: str, column: str, group: str | None = None) -> list[Part]:
    """The parts of one parquet file."""
    with hub_file(name, revision, file_name) as file:
        return parquet_parts(file_name, file, column, PART_BYTES, f"{file_name} of the dataset {name}", group)


def hub_file(name: str, revision: str, file_name: str) -> Any:
    """A file of a dataset, read by the ranges asked for and no more."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem().open(f"datasets/{name}@{revision}/{file_name}", "rb", cache_type="none")


def import_datasets() -> Any:
    """The datasets library, which takes a second to import."""
    try:
        import datasets
    except ImportError as error:
        raise UserError("datasets of the hub need the datasets library: pip install datasets") from error
    return datasets

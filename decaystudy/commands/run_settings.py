"""The settings of a run, from a scale, configuration files and flags; later ones win."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser

from decaystudy.commands.parsing import check_keys, check_types, parse, read_config, sections
from decaystudy.data.config import DataConfig
from decaystudy.errors import UserError
from decaystudy.model.config import ModelConfig
from decaystudy.runs.config import (
    SECTIONS,
    RunConfig,
    build_section,
    compile_choice,
    logger_names,
    merge,
    scale_defaults,
)
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.scales import SCALES
from decaystudy.training.loggers import LOGGERS, check_loggers

SETTINGS = ("scale", "seed", "strategy", "threads", "compile", "logger", "model", "data", "recipe", "trainer")


def add_run_settings(parser: ArgumentParser, *, skip: tuple[str, ...] = ()) -> None:
    """Add flags for everything in a ``RunConfig`` except ``skip``."""
    scales = ", ".join(SCALES)
    if "scale" not in skip:
        parser.add_argument(
            "--scale", type=str, default="tiny", help=f"sets the defaults of model, data, recipe and trainer: {scales}"
        )
    if "seed" not in skip:
        parser.add_argument(
            "--seed", type=int, default=0, help="seed of the start values and of the order of the documents"
        )
    parser.add_argument("--strategy", type=str, default="auto", help="auto, ddp or fsdp (FSDP2)")
    parser.add_argument(
        "--threads",
        type=int | None,
        default=None,
        help="CPU threads per process; unset leaves it to torch, or takes 2 beside a GPU",
    )
    parser.add_argument(
        "--compile",
        type=compile_choice,
        default="auto",
        metavar="WHEN",
        help="whether torch.compile fuses each block: auto (on a GPU), true or false; affects speed and rounding",
    )
    if "logger" not in skip:
        parser.add_argument(
            "--logger",
            type=logger_names,
            default="tensorboard",
            metavar="NAME,…",
            help=f"where the curves go: one or more of {', '.join(LOGGERS)}, or the import path of your own",
        )
    if "model" not in skip:
        parser.add_class_arguments(ModelConfig, "model", skip={"vocab_size"})
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(RecipeConfig, "recipe")
    parser.add_argument(
        "--trainer",
        type=dict[str, Any],
        default={},
        metavar="NAME VALUE",
        help="a setting of Lightning's Trainer, as in --trainer.max_steps 1000 --trainer.devices 8 "
        "--trainer.precision bf16-mixed",
    )


def given_settings(parser: ArgumentParser, arguments: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's settings that files and flags give, without defaults, and the verb's other arguments, with defaults."""
    if {"-h", "--help"} & set(arguments):
        show_defaults_of_scale(parser, asked_scale(arguments))
    given = parse(parser, arguments, defaults=False).as_dict()
    others = {key: value for key, value in parser.get_defaults().as_dict().items() if key not in SETTINGS}
    others.update({key: value for key, value in given.items() if key not in SETTINGS})
    settings: dict[str, Any] = {}
    for path in others.get("config") or []:
        values = read_config(path)
        check_keys(values, RunConfig, path)
        for name, section in sections(RunConfig):
            if values.get(name) is not None:
                if not isinstance(values[name], dict):
                    raise UserError(f"{path}: section {name} is {values[name]!r}, not settings by name")
                check_keys(values[name], section, f"{path}, section {name}")
        typed = {key: value for key, value in values.items() if value is not None}
        if isinstance(typed.get("model"), dict):
            typed["model"] = {key: value for key, value in typed["model"].items() if key != "vocab_size"}
        # What the verb has no flags for is the caller's to refuse, or to leave alone.
        known = {action.dest.partition(".")[0] for action in parser._actions}
        elsewhere = {key: value for key, value in typed.items() if key not in known}
        typed = {key: value for key, value in typed.items() if key in known}
        settings = merge(settings, {**check_types(parser, typed), **elsewhere})
    settings = merge(settings, {key: given[key] for key in SETTINGS if key in given})
    check_loggers(settings.get("logger", []))
    return settings, others


def asked_scale(arguments: list[str]) -> str:
    """The scale that the flags ask for, read before the flags are parsed; tiny if there is none."""
    scale = "tiny"
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--scale":
            scale = value if equals else following
    return scale


def show_defaults_of_scale(parser: ArgumentParser, scale: str) -> None:
    """Make the help show the defaults that apply at a scale. They are laid under what is given only afterwards."""
    known = {action.dest for action in parser._actions}
    values = scale_defaults(scale)
    flat = {key: value for key, value in values.items() if key not in SECTIONS}
    flat |= {f"{section}.{key}": value for section in SECTIONS for key, value in values[section].items()}
    parser.set_defaults({key: value for key, value in flat.items() if key in known and value is not None})


def build_run(settings: dict[str, Any], *, fetch: bool = False) -> RunConfig:
    """The run with these settings, and with its scale's defaults for the others.

    Args:
        fetch: download a tokenizer that isn't known yet, because its vocabulary decides the size of the model.
    """
    merged = merge(scale_defaults(settings.get("scale", "tiny")), settings)
    if fetch:
        from decaystudy.data.tokenizers.opening import fetch_tokenizer

        data: DataConfig = build_section("data", merged["data"])
        data.validate()
        fetch_tokenizer(data)
    return RunConfig.new(merged)

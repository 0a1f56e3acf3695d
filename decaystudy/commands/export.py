"""``decaystudy export``: write a run in Hugging Face form."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse
from decaystudy.errors import UserError

DESCRIPTION = """Write a run in Hugging Face form: config.json, safetensors, tokenizer, generation config, model card.

  decaystudy export runs/a exported/a

AutoModelForCausalLM.from_pretrained opens it after "import decaystudy.hub", or with trust_remote_code=True, where this
package is installed. So does lm-eval's own command line:

  lm_eval --model hf --model_args pretrained=exported/a,trust_remote_code=True --tasks piqa"""


def run(arguments: list[str]) -> int:
    """Parse, export and print where to; return the exit code."""
    parser = make_parser("export", DESCRIPTION)
    parser.add_argument(
        "folders",
        nargs="*",
        default=[],
        metavar="RUN DIR",
        help="the folder of a finished run, and the folder to write",
    )
    given = parse(parser, arguments)
    if len(given.folders) != 2:
        raise UserError("name a run folder and the folder to write, such as runs/a exported/a")
    source, target = given.folders
    from decaystudy.hub.export import export

    folder = export(source, target)
    print(f"wrote {folder}; after import decaystudy.hub, AutoModelForCausalLM.from_pretrained opens it")
    return 0

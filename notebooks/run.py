"""Runs the notebooks from top to bottom and keeps their outputs in them: ``make notebooks``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import nbclient
import nbformat

HERE = Path(__file__).parent
TIMEOUT = 1800
"""Seconds for a cell."""


def run(file: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs that it has in ``folder``, and without what another run would change."""
    notebook = nbformat.read(file, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main(arguments: Sequence[str]) -> int:
    """Run the notebooks that are named, or all; returns the exit code."""
    # The kernel takes the package from this checkout.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    for file in [Path(name) for name in arguments] or sorted(HERE.glob("*.ipynb")):
        nbformat.write(run(file, HERE), file)
        print(file.name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Runs the command line from a checkout: ``python cli.py fit …`` or ``torchrun cli.py fit …``."""

import sys

from decaystudy.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m decaystudy``."""

import sys

from decaystudy.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""The laboratory for decay in linear attention.

Importing the package imports no torch: each part is loaded when it is used.
"""

import sys

if sys.argv[:1] == ["-m"] and sys.path and not sys.flags.safe_path:
    # While "python -m" looks for this package, the working folder stands before all libraries, and a file there that is
    # called random.py or torch.py would take the place of one. Modules of the user's own are found at the end as well.
    sys.path.append(sys.path.pop(0))

__version__ = "0.1.0"

"""Numbers that change only with a version in ``decaystudy/versions.py``, and how they are measured."""

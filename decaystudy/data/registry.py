"""The text sources by name: light classes, each in a file of its own."""

from decaystudy.data.sources.base import Source
from decaystudy.data.sources.files import Files
from decaystudy.data.sources.hub import FinewebEdu, Hub
from decaystudy.data.sources.python_docs import PythonDocs
from decaystudy.data.sources.recall import Recall

SOURCES: dict[str, type[Source]] = {
    "python-docs": PythonDocs,
    "fineweb-edu": FinewebEdu,
    "hub": Hub,
    "files": Files,
    "recall": Recall,
}

"""The laboratory for decay in linear attention.

Importing the package imports no torch: each part is loaded when it is used.
"""

__version__ = "0.1.0"

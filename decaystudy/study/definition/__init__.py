"""A study file, read, checked and expanded into cells, comparisons, claims and runs."""

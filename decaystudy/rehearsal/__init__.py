"""A tiny run on this machine, under the strategy of the real one: whether it starts, saves and resumes as it should."""

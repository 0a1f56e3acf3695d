"""Studies: from a question in a file to planned, resumable runs and an answer with error bars."""

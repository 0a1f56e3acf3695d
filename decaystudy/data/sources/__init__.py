"""Where text comes from: one source a file."""

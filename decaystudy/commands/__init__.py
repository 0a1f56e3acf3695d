"""One verb of the command line a module: its settings, its help, and what it calls."""

"""The verbs of the command line, one per module: settings, help, and the function each calls."""

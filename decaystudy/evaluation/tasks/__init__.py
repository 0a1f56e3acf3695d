"""Which tasks there are, which runs can be asked them, and the package's own."""

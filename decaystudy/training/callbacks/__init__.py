"""What happens around the steps of a run: one behaviour a file."""

"""A finished study as one small file that anyone can judge again."""

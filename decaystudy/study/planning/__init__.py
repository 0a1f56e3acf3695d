"""What a study costs before it runs: parameters, FLOPs, memory, hours."""

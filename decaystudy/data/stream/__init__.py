"""The order of the tokens, batches, held-out blocks, and the DataModule."""

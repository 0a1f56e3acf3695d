"""Text as tokens on disk: shards, the corpus that makes them, and tokenizing ahead."""

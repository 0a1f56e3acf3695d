"""Tokenizers: one trained on the corpus, or any of the hub's."""

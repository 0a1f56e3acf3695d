"""What a trained model can do: perplexity, lm-eval's tasks, where its decays are, and what happens without them."""

"""Where the decays of trained models are, and the same weights under another decay."""

"""The bridge to lm-eval: its model class and its tasks."""

"""Training: LightningModule, schedule, optimizer, strategy, callbacks, loggers, and ``fit``."""

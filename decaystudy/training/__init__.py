"""Training: recipe, schedule, optimizer, LightningModule, callbacks, and the verb ``fit``."""

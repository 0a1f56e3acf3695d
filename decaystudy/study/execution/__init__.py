"""Training and evaluating the runs of a study: store, scheduler, launchers, workers."""

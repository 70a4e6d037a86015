"""Tuning a model as a job, the models that came of it, and their use in strategies. Training is in `optimize.learning`."""

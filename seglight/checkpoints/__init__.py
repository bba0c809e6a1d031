"""Read possibly untrusted checkpoints: which settings, classes and sizes are allowed; convert and export weights."""

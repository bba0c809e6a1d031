"""Choose an ensemble on out-of-fold predictions: its members, weights, thresholds and post-processing."""

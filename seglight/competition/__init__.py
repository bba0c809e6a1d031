"""Whole competitions: train models on folds, score them out of fold, and choose an ensemble."""

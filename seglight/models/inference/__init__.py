"""Inference from images to masks: logits, sliding windows, test-time augmentation, and the predicting module."""

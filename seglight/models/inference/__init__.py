"""From images to masks: logits, sliding windows, views of test-time augmentation, and the module that predicts."""

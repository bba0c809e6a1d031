"""When a run writes checkpoints, and which of them it keeps."""

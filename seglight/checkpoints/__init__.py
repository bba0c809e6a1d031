"""What a checkpoint, which may be a stranger's, is let to do: the settings and classes that it may name, and sizes."""

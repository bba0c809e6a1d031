"""The commands that need no trainer, by what they are for."""

"""The command line: parsing what was typed, assembling a run, and running it."""

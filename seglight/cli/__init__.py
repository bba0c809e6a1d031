"""The command line: parse the arguments, assemble a run, and run it."""

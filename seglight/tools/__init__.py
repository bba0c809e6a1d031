"""The commands that need no trainer, as functions to call from Python; `seglight.cli.tools` wraps them."""

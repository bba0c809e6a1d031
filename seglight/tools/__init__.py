"""What the commands without a trainer do, as functions that Python can call; `seglight.cli.tools` wraps them."""

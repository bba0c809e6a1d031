"""Files of weights: reading them safely, and loading them into a segmentor."""

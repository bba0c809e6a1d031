"""What torch traces in place of parts of models that ask for sizes, so that a graph takes images of any size."""

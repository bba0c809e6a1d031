"""Callbacks that write what is predicted, and what a prediction run says of itself."""

"""Write a segmentor as a file for another runtime, and prove that the file predicts the same masks."""

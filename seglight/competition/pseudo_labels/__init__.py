"""Rounds of pseudo labels: the models of a round label the test images for those of the next."""

"""A training on folds: its plan, the lists of its images, its predictions and their scores."""

"""LabelMe's files, one JSON for each image, as columns whose shapes stay in the files."""

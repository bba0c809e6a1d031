"""YOLO's files, one text for each image, as columns whose polygons stay in the files."""

"""COCO JSON: small files as objects, large ones as columns whose objects stay in the file."""

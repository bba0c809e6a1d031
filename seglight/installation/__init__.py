"""Install mmcv, whose source distribution pip cannot build; uses only the standard library.

This package runs before torch or any other package is installed, both in an installed seglight
(`seglight setup`) and in a clone (`scripts/bootstrap`).
"""

"""Installing what pip alone cannot: mmcv, whose source distribution fails to build. Standard library only.

Everything here runs before torch or any other package is installed, from an installed seglight
(`seglight setup`) and from a clone (`scripts/bootstrap`) alike.
"""

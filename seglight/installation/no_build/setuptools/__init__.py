"""Stands in for setuptools while pip downloads mmcv-full's source, so that none of its code runs.

pip asks a source distribution for its metadata even if it only downloads it. The `setup.py` of
mmcv-full needs torch and a setuptools from before 2026 to answer; this package answers in its place.
"""

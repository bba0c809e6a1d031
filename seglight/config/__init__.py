"""Resolve config files and command-line arguments to one dict.

Independent of models and data: it reads YAML, inherits, merges, and records where each key was
written, so that an error can name the file and the line.
"""

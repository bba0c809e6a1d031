"""From files and command-line arguments to one resolved dict.

Knows nothing of models or data: it reads YAML, inherits, merges, and remembers where each key was
written so that an error can name the file and the line.
"""

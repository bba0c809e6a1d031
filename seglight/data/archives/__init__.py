"""Zip and tar files whose members are read in place."""

"""Damage untrusted input files at random, and run commands on them in a sandbox that records what they do."""

"""Random damage to the files that strangers give, and a sandbox that watches what comes of it."""

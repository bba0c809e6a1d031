"""Pages of the documentation that are generated from the code and from files outside `docs/`."""

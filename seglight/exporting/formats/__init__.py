"""From a traced graph to the file of a runtime."""

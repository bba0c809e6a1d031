"""Support for mmseg's configs: its zoo, `.py` files and pipelines, and the options of its tools."""

"""What is mmseg's among configs: its zoo, its `.py` files, its pipelines, and the options of its tools."""

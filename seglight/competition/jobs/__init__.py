"""Run commands side by side: as processes of this machine, or as jobs of a cluster."""

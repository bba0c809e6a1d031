"""Pages that report a run: its metrics and plots in one HTML file."""

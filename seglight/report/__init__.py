"""Pages that show a run: what was measured, drawn with matplotlib, in one HTML file."""

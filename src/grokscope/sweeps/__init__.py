"""Grids and their borders over experiments: one diagram, many runs."""

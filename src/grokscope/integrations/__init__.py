"""The monitor in other people's trainers, and the trace in other people's trackers; no science inside.

Each module imports its client when it is imported itself, and nothing here imports another.
"""

"""Members, steps, looks and checkpoints: everything that turns an experiment into a trace."""

"""Members, steps and looks: everything that turns an experiment into a trace."""

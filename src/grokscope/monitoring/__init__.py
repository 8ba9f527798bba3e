"""Parts of the monitor: what it looks at, when, and how it leaves no mark on the training."""

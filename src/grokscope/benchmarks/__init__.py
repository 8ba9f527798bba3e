"""What things cost: the same work done plainly and by us, side by side in one process."""

"""ProRL: a planner of paths that is pre-trained on logs and reinforced in a model of interest."""

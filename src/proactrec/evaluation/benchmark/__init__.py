"""A grid of methods, worlds and seeds: every cell computed once, side by side."""

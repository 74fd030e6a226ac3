"""The best candidates of a large catalogue, without scoring all of it: exact, or approximate."""

"""Policies: what is shown next on the way to the target."""

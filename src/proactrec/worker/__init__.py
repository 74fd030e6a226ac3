"""The process beside the instances that does what takes long, or must be done once."""

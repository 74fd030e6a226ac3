"""A user's own logs, made into clean files that the door opens: read, map, check, summarise."""
